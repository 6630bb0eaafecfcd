"""Best fit: the fullest node that still has room, so that whole nodes stay free for large requests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from madang.domain.devices import Share
from madang.scheduling.placement.base import Chooser
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Flags
from madang.scheduling.topology import pick


class _PackChooser:
    def __init__(self, room: Room) -> None:
        self._room = room
        largest = np.maximum(room.snapshot.capacity.max(axis=1, initial=1), 1)
        # Counted slots, as shares of the largest node, only tell apart those with equally much free of their devices:
        # devices are what is scarce, and who needs none keeps away from those that are free.
        self._weight = 1 / largest / (1 + len(largest))
        self._score: npt.NDArray[np.float64] = self._weight @ room.free
        for free in room.device_free.values():
            self._score += free.sum(axis=1)

    def choose(self, shape: int, fits: Flags) -> int:
        # The request takes the same from every node, so the least room now is the least room afterwards.
        return int(np.where(fits, self._score, np.inf).argmin())

    def devices(self, shape: int, node: int) -> tuple[Share, ...]:
        return pick(self._room, shape, node)

    def taken(self, node: int) -> None:
        room = self._room
        self._score[node] = self._weight @ room.free[:, node] + sum(
            int(free[node].sum()) for free in room.device_free.values()
        )


class PackPlacement:
    """Fills nodes one after the other; ties go to the first name."""

    def begin(self, room: Room) -> Chooser:
        return _PackChooser(room)
