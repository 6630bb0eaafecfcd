"""The room that is left on nodes while a pass fills it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from madang.domain.devices import WHOLE, Claim, Share
from madang.scheduling.capacity import how_many
from madang.scheduling.memory import DeviceSums
from madang.scheduling.snapshot import Amounts, Flags, Snapshot

_FEW = 48  # so many changed nodes are looked at one by one


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
        self._fits: dict[int, Flags] = {}
        self._seen: dict[int, int] = {}  # how many of the changes the fits of a shape know of
        self._changes: list[int] = []
        self._fresh = True  # what is free is what the snapshot says
        self._sums: dict[tuple[str, tuple[str, ...]], DeviceSums] = {}
        self._sums_by_kind: dict[str, list[DeviceSums]] = {}

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
        fits = self._fits.get(shape)
        if fits is None:
            fits = self._fits[shape] = self._first(shape)
            self._seen[shape] = 0
        seen = self._seen[shape]
        if seen < len(self._changes):
            # Room only shrinks during a pass, so nodes on which the shape does not fit need no second look.
            nodes = [node for node in dict.fromkeys(self._changes[seen:]) if fits.item(node)]
            self._look(shape, fits, nodes)
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
        self._fresh = False
        self._changes.append(node)
        for kind, sums in self._sums_by_kind.items():
            amounts = self.device_free[kind][node].tolist()
            for one in sums:
                one.look(node, amounts)

    def _first(self, shape: int) -> Flags:
        """Where the shape fits, when nobody has asked in this pass."""
        if not self._fresh:
            return self._fitting_all(shape)
        versions = self.snapshot.versions
        known = self._memory.fits.get(shape)
        if known is None:
            fits = self._fitting_all(shape)
        else:
            fits = known[1]
            if len(changed := np.flatnonzero(known[0] != versions)):
                self._look(shape, fits, changed.tolist())
        self._memory.fits[shape] = versions, fits
        return fits.copy()

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
            self._sums_by_kind.setdefault(claim.kind, []).append(known)
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

    def _look(self, shape: int, fits: Flags, nodes: list[int]) -> None:
        """Bring up to date where the shape fits, at nodes that have changed."""
        if len(nodes) <= _FEW:
            self._look_one_by_one(shape, fits, nodes)
        else:
            some = np.array(nodes, dtype=np.int64)
            fits[some] = self._fitting(shape, some)

    def _look_one_by_one(self, shape: int, fits: Flags, nodes: list[int]) -> None:
        # This runs for every container that is placed: a few numbers of few nodes, without the cost of arrays.
        suits, free, amounts = self.suitable(shape).item, self.free.item, self._amounts(shape)
        claim = self.snapshot.shapes[shape].claim
        sums = self._sums_of(claim) if claim is not None else None
        if claim is not None and sums is None:
            return  # there is no such device, so it fits nowhere, whatever changes
        least = 0 if claim is None else claim.count if claim.whole else claim.milli
        have = None if claim is None or sums is None else sums.whole.item if claim.whole else sums.most.item
        for node in nodes:
            fit = suits(node) and (have is None or have(node) >= least)
            if fit:
                for slot, amount in amounts:
                    if free(slot, node) < amount:
                        fit = False
                        break
            fits[node] = fit

    def _fitting_all(self, shape: int) -> Flags:
        return self._fitting(shape, slice(None))

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
