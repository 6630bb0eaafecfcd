"""The room that is left on nodes while a pass fills it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from madang.domain.devices import WHOLE, Claim, Share
from madang.scheduling.capacity import how_many
from madang.scheduling.memory import DeviceSums
from madang.scheduling.snapshot import Amounts, Flags, Snapshot

_LEAST: Final = 64  # so many shapes there is place for at first, and at most:
_SHAPES: Final = 256


class Room:
    """Free slots and devices of every node, and which nodes may take which shapes.

    `free` has shape (K, N), `device_free[kind]` (N, D) in thousandths, 0 where there is no device. Read them, and
    change them only through `take`. `versions` are those of the snapshot, 0 for every node that differs from it.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.lineage = snapshot.lineage
        self.versions: Amounts = snapshot.versions.copy()
        # A node may hold more than it offers now, after it shrank: then nothing is free, and never less than nothing.
        self.free: Amounts = np.maximum(snapshot.capacity - snapshot.used, 0)
        self.device_free: dict[str, Amounts] = {
            kind: np.maximum(WHOLE - columns.used, 0) for kind, columns in snapshot.devices.items()
        }
        self._memory = snapshot.memory
        self._asked: dict[int, Sequence[tuple[int, int]]] = {}
        self._fresh = True  # what is free is what the snapshot says
        self._sums: dict[tuple[str, tuple[str, ...]], DeviceSums] = {}
        # Where the last shapes that were asked for fit, by row, (R, N), and what they need there, (K + 2S, R): counted
        # slots, and for each of the S sums so many whole devices, and so much of one.
        self._rows: dict[int, int] = {}
        self._fits: Flags = np.zeros((_LEAST, len(snapshot.nodes)), dtype=np.bool_)
        self._need: Amounts = np.zeros((len(snapshot.slots), _LEAST), dtype=np.int64)

    def suitable(self, shape: int) -> Flags:
        """The nodes that offer every feature the shape needs, shape (N,)."""
        return self._memory.suitable(shape, self.snapshot.shapes[shape])

    def allowed(self, claim: Claim) -> Flags | None:
        """The devices that are of a model the claim allows, shape (N, D) of its kind; None when all are."""
        return self._memory.allowed(claim)

    def largest(self, shape: int) -> Amounts:
        """How many containers of the shape a node could hold if nothing else ran there, shape (N,)."""
        return self._memory.largest(shape, self.snapshot.shapes[shape], self.snapshot.wanted[shape])

    def fitting(self, shape: int) -> Flags:
        """The nodes on which one container of the shape fits now, shape (N,). It must not be changed."""
        row = self._rows.get(shape)
        if row is None:
            row = self._new_row(shape)
        fits: Flags = self._fits[row]
        return fits

    def counts(self, shape: int) -> Amounts:
        """How many containers of the shape fit on every node now, shape (N,)."""
        claim = self.snapshot.shapes[shape].claim
        devices = allowed = None
        if claim is not None and claim.kind in self.device_free:
            devices, allowed = self.device_free[claim.kind], self.allowed(claim)
        counts = how_many(self.snapshot.wanted[shape], self.free, claim, devices, allowed)
        counts[~self.suitable(shape)] = 0
        return counts

    def take(self, shape: int, node: int, shares: Iterable[Share] = ()) -> None:
        """Give a container of the shape its slots and devices of a node. The caller has checked that it fits."""
        for slot, amount in self._amounts(shape):
            self.free[slot, node] -= amount
        claim = self.snapshot.shapes[shape].claim
        if claim is not None:
            row = self.device_free[claim.kind][node]
            index = self.snapshot.devices[claim.kind].index[node].tolist()
            for share in shares:
                row[index.index(share.index)] -= share.milli
        self.changed(node)

    def changed(self, node: int) -> None:
        """Look at a node anew, of which less is free than before."""
        self.versions[node] = 0
        self._fresh = False
        have: list[int] = self.free[:, node].tolist()
        for (kind, _), sums in self._sums.items():
            have += sums.look(node, self.device_free[kind][node].tolist())
        rows = len(self._rows)
        self._fits[:rows, node] &= np.logical_and.reduce(self._need[:, :rows] <= np.array(have)[:, None])

    def _new_row(self, shape: int) -> int:
        """Find out where a shape fits that nobody has asked for in this pass, or not lately."""
        fits = self._first(shape)
        row = len(self._rows)
        if row == _SHAPES:
            row = self._rows.pop(next(iter(self._rows)))
        elif row == len(self._fits):
            self._fits = np.concatenate([self._fits, np.zeros_like(self._fits)])
            self._need = np.concatenate([self._need, np.zeros_like(self._need)], axis=1)
        self._rows[shape] = row
        self._fits[row] = fits
        self._need[:, row] = 0
        for slot, amount in self._amounts(shape):
            self._need[slot, row] = amount
        claim = self.snapshot.shapes[shape].claim
        if claim is not None and self._sums_of(claim) is not None:
            at = len(self.free) + 2 * list(self._sums).index((claim.kind, claim.models))
            self._need[at if claim.whole else at + 1, row] = claim.count if claim.whole else claim.milli
        return row

    def _first(self, shape: int) -> Flags:
        """Where the shape fits."""
        if not self._fresh:
            return self._fitting(shape, slice(None))
        versions = self.snapshot.versions
        known = self._memory.fits.get(shape)
        if known is None:
            fits = self._fitting(shape, slice(None))
        else:
            fits = known[1]
            if len(changed := np.flatnonzero(known[0] != versions)):
                fits[changed] = self._fitting(shape, changed)
        self._memory.fits[shape] = versions, fits
        return fits

    def _amounts(self, shape: int) -> Sequence[tuple[int, int]]:
        known = self._asked.get(shape)
        if known is None:
            amounts = self.snapshot.wanted[shape].tolist()
            known = self._asked[shape] = [(slot, amount) for slot, amount in enumerate(amounts) if amount]
        return known

    def _sums_of(self, claim: Claim) -> DeviceSums | None:
        key = (claim.kind, claim.models)
        known = self._sums.get(key)
        if known is None and claim.kind in self.device_free:
            known = self._sums[key] = self._first_sums(claim)
            self._need = np.concatenate([self._need, np.zeros((2, self._need.shape[1]), dtype=np.int64)])
        return known

    def _first_sums(self, claim: Claim) -> DeviceSums:
        free = self.device_free[claim.kind]
        if not self._fresh:
            return DeviceSums(free, self.allowed(claim))
        versions, key = self.snapshot.versions, (claim.kind, claim.models)
        known = self._memory.sums.get(key)
        if known is None:
            sums = DeviceSums(free, self.allowed(claim))
        else:
            sums = known[1]
            for node in np.flatnonzero(known[0] != versions).tolist():
                sums.look(node, free[node].tolist())
        self._memory.sums[key] = versions, sums
        return sums.copy()

    def _fitting(self, shape: int, nodes: Amounts | slice) -> Flags:
        fits: Flags = self.suitable(shape)[nodes].copy()
        for slot, amount in self._amounts(shape):
            fits &= self.free[slot, nodes] >= amount
        claim = self.snapshot.shapes[shape].claim
        if claim is not None:
            sums = self._sums_of(claim)
            if sums is None:
                fits[:] = False
            else:
                fits &= sums.whole[nodes] >= claim.count if claim.whole else sums.most[nodes] >= claim.milli
        return fits
