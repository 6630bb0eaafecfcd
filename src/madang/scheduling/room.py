"""The room that is left on nodes while a pass fills it."""

from __future__ import annotations

import numpy as np

from madang.domain.devices import WHOLE, Claim, Share
from madang.scheduling.snapshot import Amounts, Flags, Snapshot


class Room:
    """Free slots and devices of every node, and which nodes may take which shapes.

    `free` has shape (K, N), `device_free[kind]` (N, D) in thousandths, 0 where there is no device. Read them, and
    change them only through `take` and `give`. `versions` are those of the snapshot, 0 for every node changed since.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.lineage = snapshot.lineage
        self.versions: Amounts = snapshot.versions.copy()
        # A node may hold more than it offers now, after it shrank: then nothing is free, and never less than nothing.
        self.free: Amounts = np.maximum(snapshot.capacity - snapshot.used, 0)
        self.device_free: dict[str, Amounts] = {
            kind: np.where(columns.present, np.maximum(WHOLE - columns.used, 0), 0)
            for kind, columns in snapshot.devices.items()
        }
        self._suitable: dict[int, Flags] = {}

    def suitable(self, shape: int) -> Flags:
        """The nodes that offer every feature the shape needs, shape (N,)."""
        known = self._suitable.get(shape)
        if known is None:
            known = np.ones(len(self.snapshot.nodes), dtype=np.bool_)
            for feature in self.snapshot.shapes[shape].needs:
                if feature in self.snapshot.features:
                    known &= self.snapshot.offers[self.snapshot.features.index(feature)]
                else:
                    known[:] = False
            self._suitable[shape] = known
        return known

    def allowed(self, claim: Claim) -> Flags:
        """The devices that are of a model the claim allows, shape (N, D) of its kind."""
        columns = self.snapshot.devices[claim.kind]
        return np.array([claim.allows(model) for model in columns.models] + [False], dtype=np.bool_)[columns.model]

    def fitting(self, shape: int) -> Flags:
        """The nodes on which one container of the shape fits now, shape (N,)."""
        fits = self.suitable(shape).copy()
        for slot, amount in enumerate(self.snapshot.wanted[shape]):
            if amount:
                fits &= self.free[slot] >= amount
        claim = self.snapshot.shapes[shape].claim
        if claim is not None:
            if claim.kind not in self.device_free:
                fits[:] = False
                return fits
            usable = (self.device_free[claim.kind] >= claim.milli) & self.allowed(claim)
            fits &= usable.sum(axis=1) >= claim.count
        return fits

    def take(self, shape: int, node: int, shares: tuple[Share, ...] = ()) -> None:
        """Give a container of the shape its slots and devices of a node. The caller has checked that it fits."""
        self._change(shape, node, shares, -1)

    def give(self, shape: int, node: int, shares: tuple[Share, ...] = ()) -> None:
        """Take them back."""
        self._change(shape, node, shares, 1)

    def _change(self, shape: int, node: int, shares: tuple[Share, ...], sign: int) -> None:
        self.versions[node] = 0
        self.free[:, node] += sign * self.snapshot.wanted[shape]
        claim = self.snapshot.shapes[shape].claim
        if claim is not None:
            row, index = self.device_free[claim.kind][node], self.snapshot.devices[claim.kind].index[node]
            for share in shares:
                row[index == share.index] += sign * share.milli
