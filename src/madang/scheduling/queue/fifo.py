"""First in, first out, strictly: nobody overtakes, so a large request is never starved by small ones."""

from __future__ import annotations

from collections.abc import Sequence

from madang.scheduling.queue.base import Turn
from madang.scheduling.snapshot import Snapshot


class _FifoTurn:
    def __init__(self, order: list[int]) -> None:
        self._order = order
        self._at = 0
        self._blocked = False

    def next(self) -> int | None:
        return None if self._blocked or self._at == len(self._order) else self._order[self._at]

    def placed(self, request: int) -> None:
        self._at += 1

    def refused(self, request: int) -> None:
        self._blocked = True

    def waiting(self) -> Sequence[int]:
        return self._order[self._at :]


class FifoQueue:
    """By time of arrival, then by id."""

    def begin(self, snapshot: Snapshot, now: float) -> Turn:
        return _FifoTurn(
            sorted(range(len(snapshot.requests)), key=lambda i: (snapshot.arrived[i], snapshot.requests[i]))
        )
