"""Worst fit: the node of which the largest part is free, so that sessions get in each other's way least."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from madang.domain.devices import WHOLE, Share
from madang.scheduling.placement.base import Chooser
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Amounts, Flags
from madang.scheduling.topology import pick

_PARTS: Final = 1e9  # parts are compared as whole numbers


class _SpreadChooser:
    def __init__(self, room: Room) -> None:
        self._room = room
        snapshot = room.snapshot
        self._present = {kind: columns.present.sum(axis=1) for kind, columns in snapshot.devices.items()}
        self._free: Amounts = self._part(np.arange(len(snapshot.nodes)))

    def choose(self, shape: int, fits: Flags) -> int:
        return int(np.where(fits, self._free, -1).argmax())

    def devices(self, shape: int, node: int) -> tuple[Share, ...]:
        """A part of a device is taken from the one that has most left."""
        claim = self._room.snapshot.shapes[shape].claim
        if claim is None or claim.whole:
            return pick(self._room, shape, node)
        free, allowed = self._room.device_free[claim.kind][node], self._room.allowed(claim)
        place = int((free if allowed is None else np.where(allowed[node], free, -1)).argmax())
        return (Share(self._room.snapshot.devices[claim.kind].index.item(node, place), claim.milli),)

    def taken(self, node: int) -> None:
        self._free[node] = self._part(np.array([node]))[0]

    def _part(self, nodes: Amounts) -> Amounts:
        """The mean of the parts that are free of all that M nodes have, (M,)."""
        room, capacity = self._room, self._room.snapshot.capacity[:, nodes]
        total: npt.NDArray[np.float64] = (room.free[:, nodes] / np.maximum(capacity, 1)).sum(axis=0)
        count = (capacity > 0).sum(axis=0)
        for kind, free in room.device_free.items():
            present = self._present[kind][nodes]
            total += free[nodes].sum(axis=1) / np.maximum(present * WHOLE, 1)
            count += present > 0
        parts: Amounts = np.rint(total / np.maximum(count, 1) * _PARTS).astype(np.int64)
        return parts


class SpreadPlacement:
    """Keeps all nodes about equally full; ties go to the first name."""

    def begin(self, room: Room) -> Chooser:
        return _SpreadChooser(room)
