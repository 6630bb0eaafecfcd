"""Last in, first out: what was just asked for goes first."""

from __future__ import annotations

import numpy as np

from madang.scheduling.policy import Policy
from madang.scheduling.queue.base import Line, Turn
from madang.scheduling.queue.fifo import FixedTurn
from madang.scheduling.snapshot import Snapshot


class LifoQueue:
    """The latest first; those who came at the same time by id."""

    by_arrival = False

    def begin(self, snapshot: Snapshot, line: Line, now: float, policy: Policy) -> Turn:
        arrived = snapshot.requests.arrived[line.rows]
        return FixedTurn(line.rows[np.lexsort((line.rows, -arrived, -line.level))])
