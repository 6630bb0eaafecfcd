"""The limits loop: ends sessions that have run for as long as they may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from madang.db.engine import Database, Transaction
from madang.db.repositories import moves, sessions
from madang.domain.durations import format_seconds
from madang.domain.ids import Clock
from madang.domain.session import SessionState

_log = structlog.get_logger(__name__)

_LONGEST_SLEEP: Final = 30.0
_AT_ONCE: Final = 100


class LimitsLoop:
    """Sleeps until the next session has had its time; safe in several managers, since each row is locked."""

    name = "limits"
    topics: Sequence[str] = ("session.running",)

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.every_seconds = _LONGEST_SLEEP

    async def step(self) -> None:
        """Begin to stop every session whose time is over."""
        now = self._clock.now()
        ends = await self._database.read(lambda connection: sessions.next_limits(connection, _AT_ONCE))
        due = [session_id for session_id, end in ends if end <= now]
        if due:
            await self._stop(due)
        rest = min((end - now).total_seconds() for _, end in ends) if ends else _LONGEST_SLEEP
        self.every_seconds = 0.0 if len(due) == _AT_ONCE else min(max(rest, 0.05), _LONGEST_SLEEP)

    async def close(self) -> None:
        """Holds nothing."""

    async def _stop(self, due: Sequence[str]) -> None:
        now = self._clock.now()

        async def stop(transaction: Transaction) -> None:
            rows = await sessions.lock_all(transaction, due)
            changes = []
            for row in rows.values():
                if row.state is SessionState.RUNNING and row.max_seconds is not None:
                    reason = f"has run for {format_seconds(row.max_seconds)}, as long as it may"
                    after = moves.begin_stop(row, "time", now, row.stop_grace_seconds, reason)
                    changes.append(moves.Change(row, after, (after,)))
            await moves.save(transaction, changes, now)

        await self._database.transaction(stop, "limits.stop")
        _log.info("maximum_run_time_passed", sessions=len(due))
