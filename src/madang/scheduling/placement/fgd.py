"""Where the least of what nodes are worth to others is lost, so that free devices do not become unusable crumbs.

Fragmentation gradient descent, after "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation
Gradient Descent" (Weng et al., USENIX ATC 2023), with a measure of fragmentation that looks further (see worth.py) and
a demand that is learnt from the requests themselves (see demand.py).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import numpy as np

from madang.domain.devices import Share
from madang.scheduling.placement.base import Chooser
from madang.scheduling.placement.losses import UNKNOWN, Losses
from madang.scheduling.placement.worth import Numbers
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Amounts, Flags
from madang.scheduling.topology import pick

_LINEAGES: Final = 16  # so many resource groups are remembered
_CONTENTS: Final = 4096  # and in each so many contents of nodes, besides those of twice its nodes
_EAGER: Final = 64  # for so many shapes losses are computed ahead, all at once


class _FgdChooser:
    def __init__(self, room: Room, losses: Losses) -> None:
        self._room = room
        self._losses = losses
        self._contents: Amounts = losses.all_contents(room)
        self._changed: list[int] = []  # nodes that have not been looked at since
        self._seen: dict[int, int] = {}  # the rows of shapes that were asked for in this pass
        self._rows = losses.rows([])  # what they ask for
        self._forgotten = losses.forgotten  # when that was found out

    def choose(self, shape: int, fits: Flags) -> int:
        row = self._row(shape)
        self._look()
        while True:
            losses: Numbers = np.where(fits, self._losses.loss[row].take(self._contents), np.inf)
            node = int(losses.argmin())
            if losses.item(node) != UNKNOWN:
                return node
            self._losses.compute(self._losses.rows([row]), np.unique(self._contents[losses == UNKNOWN]))

    def devices(self, shape: int, node: int) -> tuple[Share, ...]:
        room = self._room
        claim = room.snapshot.shapes[shape].claim
        if claim is None or claim.whole:
            return pick(room, shape, node)
        place = self._losses.place(room, self._row(shape), claim, node)
        return (Share(room.snapshot.devices[claim.kind].index.item(node, place), claim.milli),)

    def taken(self, node: int) -> None:
        self._changed.append(node)

    def _row(self, shape: int) -> int:
        row = self._losses.row(self._room.snapshot, shape)
        new = self._seen.get(shape) != row and len(self._seen) < _EAGER
        if new:
            self._seen[shape] = row
        if new or self._forgotten != self._losses.forgotten:
            self._rows = self._losses.rows(sorted(set(self._seen.values())))
            self._forgotten = self._losses.forgotten
        return row

    def _look(self) -> None:
        """Look at the nodes that have changed; of what is new there compute at once all that may be asked for next."""
        if self._changed:
            for node in self._changed:
                self._contents[node] = self._losses.content(self._room, node)
            self._changed.clear()
            self._losses.meet(self._rows)


class FgdPlacement:
    """Where fragmentation grows least, by what has been asked for lately; of nodes that are alike on the fullest."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, Losses] = OrderedDict()  # by lineage

    def begin(self, room: Room) -> Chooser:
        snapshot = room.snapshot
        losses = self._known.get(snapshot.lineage)
        if losses is None or losses.demand is not snapshot.demand:
            losses = self._known[snapshot.lineage] = Losses(snapshot)
        elif len(losses) > _CONTENTS + 2 * len(snapshot.nodes):
            losses = self._known[snapshot.lineage] = Losses(snapshot, losses)
        self._known.move_to_end(snapshot.lineage)
        while len(self._known) > _LINEAGES:
            self._known.popitem(last=False)
        return _FgdChooser(room, losses)
