"""The room that is left on nodes while a pass fills it."""

from __future__ import annotations

import numpy as np

from madang.scheduling.snapshot import Amounts, Flags, Snapshot


class Room:
    """Free slots of every node, shape (K, N), and which nodes may take which requests."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        # A node may hold more than it offers now, after it shrank: then nothing is free, and never less than nothing.
        self.free: Amounts = np.maximum(snapshot.capacity - snapshot.used, 0)
        self._suitable: dict[frozenset[str], Flags] = {}

    def suitable(self, request: int) -> Flags:
        """The nodes that offer every feature the request needs, shape (N,)."""
        needs = self.snapshot.needs[request]
        known = self._suitable.get(needs)
        if known is None:
            known = np.ones(len(self.snapshot.nodes), dtype=np.bool_)
            for feature in needs:
                if feature in self.snapshot.features:
                    known &= self.snapshot.offers[self.snapshot.features.index(feature)]
                else:
                    known[:] = False
            self._suitable[needs] = known
        return known

    def fitting(self, request: int) -> Flags:
        """The nodes on which the request fits now, shape (N,)."""
        fits = self.suitable(request).copy()
        for slot, amount in enumerate(self.snapshot.wanted[request]):
            if amount:
                fits &= self.free[slot] >= amount
        return fits

    def take(self, request: int, node: int) -> None:
        """Give the request its slots of a node. The caller has checked that it fits."""
        self.free[:, node] -= self.snapshot.wanted[request]
