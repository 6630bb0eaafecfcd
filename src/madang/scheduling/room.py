"""The room that is left on nodes while a pass fills it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from madang.domain.devices import WHOLE, Claim, Share
from madang.scheduling.capacity import allowed_devices, how_many
from madang.scheduling.snapshot import Amounts, Flags, Snapshot

_FEW = 4  # so many changed nodes are looked at one by one


class _Devices:
    """What the free devices of some models come to on every node, kept up to date node by node."""

    def __init__(self, free: Amounts, allowed: Flags | None) -> None:
        self._free = free
        self._allowed = allowed
        usable = free if allowed is None else np.where(allowed, free, 0)
        self.whole: Amounts = (usable == WHOLE).sum(axis=1)
        self.most: Amounts = usable.max(axis=1, initial=0)

    def changed(self, node: int) -> None:
        amounts = self._free[node].tolist()
        if self._allowed is not None:
            amounts = [amount for amount, may in zip(amounts, self._allowed[node].tolist(), strict=True) if may]
        self.whole[node] = amounts.count(WHOLE)
        self.most[node] = max(amounts, default=0)


class _Nodes:
    """What never changes during a pass, shared by all who look at the same nodes."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._suitable: dict[int, Flags] = {}
        self._allowed: dict[tuple[str, tuple[str, ...]], Flags | None] = {}
        self._largest: dict[int, Amounts] = {}

    def suitable(self, shape: int) -> Flags:
        known = self._suitable.get(shape)
        if known is None:
            snapshot = self._snapshot
            known = np.ones(len(snapshot.nodes), dtype=np.bool_)
            for feature in snapshot.shapes[shape].needs:
                if feature in snapshot.features:
                    known &= snapshot.offers[snapshot.features.index(feature)]
                else:
                    known[:] = False
            self._suitable[shape] = known
        return known

    def allowed(self, claim: Claim) -> Flags | None:
        key = (claim.kind, claim.models)
        if key not in self._allowed:
            self._allowed[key] = allowed_devices(claim, self._snapshot.devices[claim.kind])
        return self._allowed[key]

    def largest(self, shape: int) -> Amounts:
        known = self._largest.get(shape)
        if known is None:
            snapshot, claim = self._snapshot, self._snapshot.shapes[shape].claim
            devices = allowed = None
            if claim is not None and claim.kind in snapshot.devices:
                devices = np.where(snapshot.devices[claim.kind].present, WHOLE, 0)
                allowed = self.allowed(claim)
            known = how_many(snapshot.wanted[shape], snapshot.capacity, claim, devices, allowed)
            known[~self.suitable(shape)] = 0
            self._largest[shape] = known
        return known


class Room:
    """Free slots and devices of every node, and which nodes may take which shapes.

    `free` has shape (K, N), `device_free[kind]` (N, D) in thousandths, 0 where there is no device. Read them, and
    change them only through `take`. `versions` are those of the snapshot, 0 for every node that differs from it.
    """

    def __init__(self, snapshot: Snapshot, nodes: _Nodes | None = None) -> None:
        self.snapshot = snapshot
        self.lineage = snapshot.lineage
        self.versions: Amounts = snapshot.versions.copy()
        # A node may hold more than it offers now, after it shrank: then nothing is free, and never less than nothing.
        self.free: Amounts = np.maximum(snapshot.capacity - snapshot.used, 0)
        self.device_free: dict[str, Amounts] = {
            kind: np.maximum(WHOLE - columns.used, 0) for kind, columns in snapshot.devices.items()
        }
        self.nodes = nodes or _Nodes(snapshot)
        self._asked: dict[int, Sequence[tuple[int, int]]] = {}
        self._fits: dict[int, Flags] = {}
        self._seen: dict[int, int] = {}  # how many of the changes the fits of a shape know of
        self._changes: list[int] = []
        self._devices: dict[tuple[str, tuple[str, ...]], _Devices] = {}

    def suitable(self, shape: int) -> Flags:
        """The nodes that offer every feature the shape needs, shape (N,)."""
        return self.nodes.suitable(shape)

    def allowed(self, claim: Claim) -> Flags | None:
        """The devices that are of a model the claim allows, shape (N, D) of its kind; None when all are."""
        return self.nodes.allowed(claim)

    def largest(self, shape: int) -> Amounts:
        """How many containers of the shape a node could hold if nothing else ran there, shape (N,)."""
        return self.nodes.largest(shape)

    def fitting(self, shape: int) -> Flags:
        """The nodes on which one container of the shape fits now, shape (N,). It must not be changed."""
        fits = self._fits.get(shape)
        if fits is None:
            fits = self._fits[shape] = self._fitting_all(shape)
        elif self._seen[shape] < len(self._changes):
            changed = self._changes[self._seen[shape] :]
            if len(changed) <= _FEW:
                for node in changed:
                    fits[node] = self._fits_at(shape, node)
            else:
                some = np.unique(np.array(changed, dtype=np.int64))
                fits[some] = self._fitting_some(shape, some)
        self._seen[shape] = len(self._changes)
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
        """Look at a node anew, whose free room has been changed."""
        self.versions[node] = 0
        self._changes.append(node)
        for one in self._devices.values():
            one.changed(node)

    def _amounts(self, shape: int) -> Sequence[tuple[int, int]]:
        known = self._asked.get(shape)
        if known is None:
            amounts = self.snapshot.wanted[shape].tolist()
            known = self._asked[shape] = [(slot, amount) for slot, amount in enumerate(amounts) if amount]
        return known

    def _of(self, claim: Claim) -> _Devices | None:
        key = (claim.kind, claim.models)
        known = self._devices.get(key)
        if known is None and claim.kind in self.device_free:
            known = self._devices[key] = _Devices(self.device_free[claim.kind], self.allowed(claim))
        return known

    def _fitting_all(self, shape: int) -> Flags:
        fits = self.suitable(shape).copy()
        for slot, amount in self._amounts(shape):
            fits &= self.free[slot] >= amount
        claim = self.snapshot.shapes[shape].claim
        if claim is not None:
            devices = self._of(claim)
            if devices is None:
                fits[:] = False
            else:
                fits &= devices.whole >= claim.count if claim.whole else devices.most >= claim.milli
        return fits

    def _fitting_some(self, shape: int, nodes: Amounts) -> Flags:
        fits = self.suitable(shape)[nodes]
        for slot, amount in self._amounts(shape):
            fits &= self.free[slot, nodes] >= amount
        claim = self.snapshot.shapes[shape].claim
        if claim is not None and (devices := self._of(claim)) is not None:
            fits &= devices.whole[nodes] >= claim.count if claim.whole else devices.most[nodes] >= claim.milli
        return fits

    def _fits_at(self, shape: int, node: int) -> bool:
        if not self.suitable(shape)[node]:
            return False
        for slot, amount in self._amounts(shape):
            if self.free.item(slot, node) < amount:
                return False
        claim = self.snapshot.shapes[shape].claim
        if claim is None:
            return True
        devices = self._of(claim)
        if devices is None:
            return False
        if claim.whole:
            return devices.whole.item(node) >= claim.count
        return devices.most.item(node) >= claim.milli
