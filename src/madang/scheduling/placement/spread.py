"""Worst fit: the node of which the largest part is free, so that sessions get in each other's way least."""

from __future__ import annotations

from typing import Final

import numpy as np

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
        devices = {kind: columns.present.sum(axis=1) * WHOLE for kind, columns in snapshot.devices.items()}
        totals = np.concatenate([snapshot.capacity, *(total[None] for total in devices.values())])
        # A node is as free as the mean of what it has: a unit of each is worth so much of that, shape (K + Q, N).
        self._unit = (totals > 0) / np.maximum(totals, 1) / np.maximum((totals > 0).sum(axis=0), 1)
        free = np.concatenate([room.free, *(one.sum(axis=1)[None] for one in room.device_free.values())])
        self._free: Amounts = np.rint((free * self._unit).sum(axis=0) * _PARTS).astype(np.int64)

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
        room = self._room
        free = [*room.free[:, node].tolist(), *(sum(one[node].tolist()) for one in room.device_free.values())]
        parts = sum(amount * unit for amount, unit in zip(free, self._unit[:, node].tolist(), strict=True))
        self._free[node] = round(parts * _PARTS)


class SpreadPlacement:
    """Keeps all nodes about equally full; ties go to the first name."""

    def begin(self, room: Room) -> Chooser:
        return _SpreadChooser(room)
