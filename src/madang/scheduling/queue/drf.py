"""Dominant resource fairness (Ghodsi et al., NSDI 2011): the user with the smallest dominant share goes next."""

from __future__ import annotations

from madang.scheduling.policy import Policy
from madang.scheduling.queue.base import Line, Turn
from madang.scheduling.queue.shares import ShareTurn
from madang.scheduling.snapshot import Snapshot


class DrfQueue:
    """By what users hold now, over all counted slots and devices of the group; weighted."""

    by_arrival = False

    def begin(self, snapshot: Snapshot, line: Line, now: float, policy: Policy) -> Turn:
        return ShareTurn(snapshot, line, policy)
