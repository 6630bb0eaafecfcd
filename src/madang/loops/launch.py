"""The launch loop: makes and starts the containers of sessions that have a node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from madang.config import Settings
from madang.db.engine import Database, Transaction
from madang.db.hub import Hub
from madang.db.repositories import sessions
from madang.db.rows import SessionRow
from madang.domain.errors import MadangError, StaleEpoch, Unavailable
from madang.domain.ids import Clock
from madang.domain.session import ExitReason, SessionState
from madang.fabric.base import Fabric
from madang.loops.outcomes import gone, settle
from madang.schemas.agent import ContainerSpec, ContainerStatus, Phase
from madang.services.metrics import Metrics

_log = structlog.get_logger(__name__)

_PAUSES: Final = (0.2, 1.0, 3.0)
"""Before each further try on a node that does not answer; then the session goes back into the queue."""
_BLOCK: Final = 1 << 18

Work = Callable[[Transaction], Awaitable[None]]


class LaunchLoop:
    """Every call to the agent carries the epoch that was fixed when the session was scheduled, and is idempotent.

    After a crash the sessions that were being prepared are simply prepared again.
    """

    name = "launch"
    topics: Sequence[str] = ("session.scheduled", "launch")
    every_seconds = 5.0

    def __init__(
        self, settings: Settings, *, database: Database, fabric: Fabric, hub: Hub, clock: Clock, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._database = database
        self._fabric = fabric
        self._hub = hub
        self._clock = clock
        self._metrics = metrics
        self._busy: dict[str, asyncio.Task[None]] = {}

    async def step(self) -> None:
        """Begin as many launches as there is room for."""
        free = self._settings.launches - len(self._busy)
        names = await self._fabric.nodes()
        if free <= 0 or not names:
            return

        async def claim(transaction: Transaction) -> list[SessionRow]:
            claimed = await sessions.claim_scheduled(transaction, names, list(self._busy), free)
            now = self._clock.now()
            return [
                row
                if row.state is SessionState.PREPARING
                else await sessions.move(transaction, row, SessionState.PREPARING, now)
                for row in claimed
            ]

        for row in await self._database.transaction(claim, "launch.claim"):
            self._busy[row.id] = asyncio.create_task(self._launch(row), name=f"launch {row.id}")

    async def close(self) -> None:
        """Give up waiting for launches; what they began goes on in the agent and is found again."""
        for task in tuple(self._busy.values()):
            task.cancel()
        for task in tuple(self._busy.values()):
            with suppress(asyncio.CancelledError):
                await task
        self._busy.clear()

    async def _launch(self, row: SessionRow) -> None:
        try:
            status = await self._bring_up(row)
            await self._database.transaction(
                lambda transaction: settle(transaction, _node(row), status, self._clock.now()), "launch.settle"
            )
            self._metrics.launches.labels("running" if status.phase is Phase.RUNNING else "ended").inc()
            self._metrics.launch_seconds.observe((self._clock.now() - row.created_at).total_seconds())
        except StaleEpoch as error:
            await self._postpone(row, error)
        except Unavailable as error:
            await self._postpone(row, error)
        except MadangError as error:
            await self._fail(row, error.message)
        except Exception as error:
            _log.exception("launch_failed", session=row.id)
            await self._fail(row, f"The launch failed unexpectedly: {type(error).__name__}: {error}")
        finally:
            del self._busy[row.id]
            self._hub.wake(["launch"])

    async def _bring_up(self, row: SessionRow) -> ContainerStatus:
        """Create, fill and start the container, patiently while the node does not answer."""
        for pause in (*_PAUSES, None):
            try:
                agent = self._fabric.agent(_node(row))
                spec = self._spec(row)
                status = await agent.create(spec)
                if status.phase is Phase.CREATED and row.upload_id is not None:
                    archive = _read(self._settings.data_dir / "uploads" / row.upload_id)
                    await agent.put_archive(spec.container_id, archive)
                return await agent.start(spec.container_id, spec.epoch)
            except Unavailable:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    def _spec(self, row: SessionRow) -> ContainerSpec:
        assert row.main is not None  # noqa: S101 - only scheduled sessions are claimed
        return ContainerSpec(
            container_id=row.main.id,
            session_id=row.id,
            epoch=row.main.epoch,
            hostname=row.name,
            environment=row.environment,
            command=row.command,
            variables={**row.variables, "MADANG_SESSION": row.id, "MADANG_SESSION_NAME": row.name},
            cpu=row.slots["cpu"],
            mem=row.slots["mem"],
            processes=row.processes,
            network=row.network,
            log_bytes=self._settings.log_limit_bytes,
        )

    async def _postpone(self, row: SessionRow, error: MadangError) -> None:
        """Back into the queue; the next launch has a higher epoch, so what this one left cannot come to life."""
        _log.warning("launch_postponed", session=row.id, node=_node(row), error=error.message)
        self._metrics.launches.labels("postponed").inc()

        async def postpone(transaction: Transaction) -> None:
            now = await sessions.lock(transaction, row.id)
            if now is not None and now.state is SessionState.PREPARING and now.main == row.main:
                reason = f"the launch on {_node(row)} did not work: {error.message}"
                await sessions.move(transaction, now, SessionState.PENDING, self._clock.now(), reason)

        await self._save(postpone, "launch.postpone", row)

    async def _fail(self, row: SessionRow, message: str) -> None:
        assert row.main is not None  # noqa: S101 - only scheduled sessions are claimed
        self._metrics.launches.labels("failed").inc()
        status = gone(row.main.id, row.main.epoch, ExitReason.LAUNCH, message)

        async def fail(transaction: Transaction) -> None:
            await settle(transaction, _node(row), status, self._clock.now())

        await self._save(fail, "launch.fail", row)

    async def _save(self, work: Work, name: str, row: SessionRow) -> None:
        """When the database stays away, the session is still PREPARING in it and is launched again."""
        try:
            await self._database.transaction(work, name)
        except MadangError as error:
            _log.warning("launch_not_saved", session=row.id, error=error.message)


def _node(row: SessionRow) -> str:
    assert row.main is not None  # noqa: S101 - only scheduled sessions are claimed
    return row.main.node


async def _read(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while block := await asyncio.to_thread(file.read, _BLOCK):
            yield block
