"""First in, first out."""

from __future__ import annotations

import numpy as np

from madang.scheduling.policy import Policy
from madang.scheduling.queue.base import Line, Turn
from madang.scheduling.snapshot import Amounts, Snapshot


class FixedTurn:
    """An order that placements do not change."""

    def __init__(self, rows: Amounts) -> None:
        self._rows = iter(rows.tolist())

    def next(self) -> int | None:
        return next(self._rows, None)

    def placed(self, row: int) -> None:
        """Changes nothing."""

    def owed(self, row: int) -> bool:
        return True


class FifoQueue:
    """By time of arrival, then by id."""

    by_arrival = True

    def begin(self, snapshot: Snapshot, line: Line, now: float, policy: Policy) -> Turn:
        return FixedTurn(line.rows[np.argsort(-line.level, kind="stable")])
