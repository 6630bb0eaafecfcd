"""Counters for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database
from madang.db.repositories import nodes, sessions
from madang.db.rows import NodeRow
from madang.domain.ids import Clock
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.domain.session import SessionState


class Metrics:
    """One registry a process; what the database knows is read when somebody asks."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.registry = CollectorRegistry()
        self.launches = Counter(
            "madang_launches", "Launches of containers, by how they went.", ["result"], registry=self.registry
        )
        self.launch_seconds = Histogram(
            "madang_launch_seconds",
            "From the creation of a session to its main process running.",
            buckets=(0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1, 2, 5, 10, 30, 60, 300, 1800),
            registry=self.registry,
        )
        self.schedule_seconds = Histogram(
            "madang_schedule_pass_seconds",
            "One scheduling pass, database included.",
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
            registry=self.registry,
        )
        self._sessions = Gauge("madang_sessions", "Sessions by state.", ["state"], registry=self.registry)
        self._slots = Gauge("madang_node_slots", "Capacity, in base units.", ["node", "slot"], registry=self.registry)
        self._used = Gauge(
            "madang_node_slots_used", "Taken capacity, in base units.", ["node", "slot"], registry=self.registry
        )
        self._ready = Gauge("madang_node_ready", "1 when the node answers.", ["node"], registry=self.registry)
        self._lag = Gauge(
            "madang_event_lag_seconds",
            "Age of the oldest event that readers may not see yet; 0 when they see all.",
            registry=self.registry,
        )

    async def render(self, caller: Caller) -> bytes:
        """The metrics in Prometheus' text format (content type `prometheus_client.CONTENT_TYPE_LATEST`)."""
        caller.require(Right.CLUSTER_SEE)
        counts, rows, lag = await self._database.read(self._read)
        for state in SessionState:
            self._sessions.labels(state.value).set(counts.get(state.value, 0))
        for gauge in (self._slots, self._used, self._ready):
            gauge.clear()
        for node in rows:
            self._ready.labels(node.name).set(node.ready)
            for slot, amount in node.slots.items():
                self._slots.labels(node.name, slot).set(amount)
                self._used.labels(node.name, slot).set(node.used.get(slot, 0))
        self._lag.set(lag)
        return generate_latest(self.registry)

    async def _read(self, connection: AsyncConnection) -> tuple[dict[str, int], list[NodeRow], float]:
        counts = await sessions.count_by_state(connection)
        rows = await nodes.every(connection, with_use=True)
        oldest = await connection.scalar(
            text("SELECT min(at) FROM events WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        )
        lag = 0.0 if oldest is None else max((self._clock.now() - oldest).total_seconds(), 0.0)
        return counts, rows, lag
