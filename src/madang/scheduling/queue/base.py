"""The port of a queue policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from madang.scheduling.policy import Policy
from madang.scheduling.snapshot import Amounts, Snapshot


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """Who may be served: rows of the snapshot's requests by time of arrival, and the level of each, both shape (M,)."""

    rows: Amounts
    level: Amounts  # its priority as it counts now; higher levels go first under every policy


class Turn(Protocol):
    """One pass over the queue."""

    def next(self) -> int | None:
        """The row to decide on now, each once; None when all have been named."""

    def placed(self, row: int) -> None:
        """The row that was named last got its room."""

    def owed(self, row: int) -> bool:
        """Whether, once the row has waited for long, room may be kept for it out of turn. Asked before all others."""


class QueuePolicy(Protocol):
    """Decides who goes next. Must not depend on the order in which requests were given."""

    by_arrival: bool
    """Whether, among equals, who came first is always named first."""

    def begin(self, snapshot: Snapshot, line: Line, now: float, policy: Policy) -> Turn:
        """Begin a pass at time `now`."""
