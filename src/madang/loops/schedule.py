"""The schedule loop: gives waiting sessions their nodes, or the reason why they wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from madang.db.engine import Database, Transaction
from madang.db.repositories import containers, nodes, queue
from madang.db.rows import NodeRow, PendingRow
from madang.domain.devices import claim_of, counted
from madang.domain.ids import Clock
from madang.domain.session import ENDED
from madang.domain.why import sentence
from madang.scheduling.plan import Placement, Wait, plan
from madang.scheduling.snapshot import Node, Request, Snapshot
from madang.services.metrics import Metrics

_AT_ONCE: Final = 2000
"""So many of the queue's head are looked at in a pass; with strict order the rest has to wait anyway."""


class ScheduleLoop:
    """One transaction a pass, under a lock, so that two managers never give the same room away twice."""

    name = "schedule"
    topics: Sequence[str] = (
        "session.pending",
        "node.ready",
        "node.unreachable",
        *(f"session.{state.value}" for state in ENDED),
    )
    every_seconds = 30.0

    def __init__(self, database: Database, clock: Clock, metrics: Metrics) -> None:
        self._database = database
        self._clock = clock
        self._metrics = metrics

    async def step(self) -> None:
        """Passes until the head of the queue has to wait."""
        while await self._pass():
            pass

    async def close(self) -> None:
        """Holds nothing."""

    async def _pass(self) -> bool:
        """Returns whether another pass may place more."""
        if not await self._database.read(lambda connection: queue.pending(connection, 1)):
            return False
        with self._metrics.schedule_seconds.time():
            return await self._database.transaction(self._decide, "schedule")

    async def _decide(self, transaction: Transaction) -> bool:
        await queue.lead(transaction)
        waiting = await queue.pending(transaction.connection, _AT_ONCE)
        if not waiting:
            return False
        known = await nodes.every(transaction.connection)
        used = await containers.used_slots(transaction.connection)
        now = self._clock.now()
        decisions = plan(snapshot_of(known, used, waiting), now.timestamp())
        reasons = {row.id: row.reason for row in waiting}
        chosen = [queue.Chosen(one.session_id, one.parts[0].node) for one in decisions if isinstance(one, Placement)]
        changed = [
            (one.session_id, sentence(one.why))
            for one in decisions
            if isinstance(one, Wait) and reasons[one.session_id] != sentence(one.why)
        ]
        if chosen:
            await queue.place(transaction, chosen, now)
        if changed:
            await queue.explain(transaction, changed)
        return len(chosen) == _AT_ONCE


def snapshot_of(known: Sequence[NodeRow], used: dict[str, dict[str, int]], waiting: Sequence[PendingRow]) -> Snapshot:
    """The rows of the database as the scheduler sees them; nodes that do not answer take nothing."""
    return Snapshot.of(
        [
            Node(
                node.name,
                node.slots,
                used.get(node.name, {}),
                frozenset(
                    [f"environment {name}" for name in node.environments]
                    + [f"network {mode}" for mode in node.report.networks]
                ),
            )
            for node in known
            if node.ready
        ],
        [
            Request(
                row.id,
                counted(row.slots),
                row.created_at.timestamp(),
                frozenset({f"environment {row.environment}", f"network {row.network}"}),
                claim_of(row.slots),
            )
            for row in waiting
        ],
    )
