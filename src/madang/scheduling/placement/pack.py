"""Best fit: the fullest node that still has room, so that whole nodes stay free for large requests."""

from __future__ import annotations

import numpy as np

from madang.domain.devices import Share
from madang.scheduling.placement.base import Chooser
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Flags
from madang.scheduling.topology import pick


class _PackChooser:
    def __init__(self, room: Room) -> None:
        self._room = room
        largest = room.snapshot.capacity.max(axis=1, initial=1)
        # Every slot counts as a share of the largest node, and rare ones (fewer nodes have them) count more: a
        # request for CPU alone then leaves the nodes with GPUs to those who need them.
        having = (room.snapshot.capacity > 0).sum(axis=1)
        self._weight = len(room.snapshot.nodes) / np.maximum(having, 1) / np.maximum(largest, 1)
        self._score = self._weight @ room.free
        for free in room.device_free.values():
            self._score += len(free) * free.sum(axis=1) / max(1, int(free.sum()))

    def choose(self, shape: int, fits: Flags) -> int:
        # The request takes the same from every node, so the least room now is the least room afterwards.
        return int(np.argmin(np.where(fits, self._score, np.inf)))

    def devices(self, shape: int, node: int) -> tuple[Share, ...]:
        return pick(self._room, shape, node)

    def taken(self, node: int) -> None:
        self._score[node] = self._weight @ self._room.free[:, node]


class PackPlacement:
    """Fills nodes one after the other; ties go to the first name."""

    def begin(self, room: Room) -> Chooser:
        return _PackChooser(room)
