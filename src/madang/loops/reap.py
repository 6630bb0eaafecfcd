"""The reap loop: stops what shall end, and removes what is no longer kept, deleted accounts included."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from madang.config import Settings
from madang.db.engine import Database, Transaction
from madang.db.repositories import attempts, audit, containers, events, keys, links, people, sessions, uploads, users
from madang.db.rows import ContainerRow, SessionRow
from madang.domain.container import ContainerState
from madang.domain.errors import MadangError, NotFound, StaleEpoch, Unavailable
from madang.domain.ids import Clock
from madang.domain.session import ExitReason
from madang.domain.throttle import NOTHING_AFTER_SECONDS
from madang.fabric.base import Fabric
from madang.loops.outcomes import gone
from madang.loops.settler import Settler

_log = structlog.get_logger(__name__)

_ALIVE: Final = (ContainerState.PLANNED, ContainerState.RUNNING)
_ASK_AGAIN_SECONDS: Final = 5.0
_HOUSEKEEPING_SECONDS: Final = 600.0
_UPLOAD_KEPT: Final = timedelta(hours=1)
_KEY_KEPT: Final = timedelta(hours=24)
_EVENTS_KEPT: Final = timedelta(days=30)
_LINK_KEPT: Final = timedelta(days=7)  # so that it says itself why it is not good any more


class ReapLoop:
    """The end of a session is written when the agent reports it; here it is only asked for."""

    name = "reap"
    topics: Sequence[str] = ("session.terminating", "session.deleted")
    every_seconds = 5.0

    def __init__(self, settings: Settings, *, database: Database, fabric: Fabric, clock: Clock) -> None:
        self._settings = settings
        self._database = database
        self._fabric = fabric
        self._clock = clock
        self._asked: dict[str, tuple[tuple[int, float], float]] = {}
        self._tidied = float("-inf")
        self._settler = Settler(database, clock, "reap.settle")

    async def step(self) -> None:
        """Ask for every stop that is due, then remove."""
        names = await self._fabric.nodes()
        await self._stop_all(names)
        await self._remove_all(names)
        if time.monotonic() - self._tidied >= _HOUSEKEEPING_SECONDS:
            await self._tidy()
            self._tidied = time.monotonic()

    async def close(self) -> None:
        await self._settler.close()

    async def _stop_all(self, names: Sequence[str]) -> None:
        rows = await self._database.read(sessions.terminating)
        here = [(row, one) for row in rows for one in row.containers if one.node in names and one.state in _ALIVE]
        now = time.monotonic()
        self._asked = {one.id: self._asked[one.id] for _, one in here if one.id in self._asked}
        due = []
        for row, one in here:
            asked, at = self._asked.get(one.id, ((0, 0.0), float("-inf")))
            want = (one.epoch, row.stop_grace_seconds)
            if asked != want or now - at >= _ASK_AGAIN_SECONDS:
                self._asked[one.id] = (want, now)
                due.append((row, one))
        await asyncio.gather(*(self._stop(row, one) for row, one in due))

    async def _stop(self, row: SessionRow, container: ContainerRow) -> None:
        try:
            agent = self._fabric.agent(container.node)
            try:
                await agent.stop(container.id, container.epoch, row.stop_grace_seconds)
                return
            except StaleEpoch:
                pass
            except NotFound:
                # Either it was never made, and then a launch under way must not make it any more, or it is gone.
                await agent.remove(container.id, container.epoch)
            lost = row.started_at is not None or container.started_at is not None
            await self._settler.settle(
                gone(container.node, container.id, container.epoch, ExitReason.LOST if lost else ExitReason.STOPPED)
            )
        except Unavailable as error:
            _log.warning("stop_not_sent", session=row.id, node=container.node, error=error.message)
            self._asked.pop(container.id, None)

    async def _remove_all(self, names: Sequence[str]) -> None:
        before = self._clock.now() - timedelta(days=self._settings.keep_ended_days)
        rows = await self._database.read(lambda connection: containers.removable(connection, before, names))
        for row in rows:
            try:
                await self._fabric.agent(row.node).remove(row.id, row.epoch)
            except StaleEpoch:
                pass  # the node has a newer launch of it, and nothing of this one
            except MadangError as error:
                _log.warning("not_removed", container=row.id, node=row.node, error=error.message)
                continue
            await self._write_removed(row)
        if await self._database.read(sessions.any_purgeable):
            await self._database.transaction(sessions.purge_deleted, "reap.purge")
        if deleted := await self._database.read(users.unfinished):
            await self._database.transaction(
                lambda transaction: users.finish(transaction, deleted, self._clock.now()), "reap.users"
            )

    async def _write_removed(self, row: ContainerRow) -> None:
        async def write(transaction: Transaction) -> None:
            await containers.mark_removed(transaction, row)

        await self._database.transaction(write, "reap.removed")

    async def _tidy(self) -> None:
        """Forget uploads nobody used, old idempotency keys, marks of old signed requests and old events."""
        now = self._clock.now()

        async def forget(transaction: Transaction) -> None:
            await uploads.forget(transaction, now - _UPLOAD_KEPT)
            await people.forget_keys(transaction, now - _KEY_KEPT)
            await keys.forget_seen(transaction, now)
            await events.forget(transaction, now - _EVENTS_KEPT)
            await attempts.forget(transaction, now - timedelta(seconds=NOTHING_AFTER_SECONDS))
            await links.forget(transaction, now - _LINK_KEPT)
            days = await audit.days(transaction.connection, self._settings.audit_days)
            if days:
                await audit.forget(transaction, now - timedelta(days=days))

        await self._database.transaction(forget, "reap.tidy")
        kept = await self._database.read(uploads.ids)
        youngest = (now - _UPLOAD_KEPT).timestamp()
        await asyncio.to_thread(_sweep, self._settings.data_dir / "uploads", kept, youngest)


def _sweep(directory: Path, kept: set[str], youngest: float) -> None:
    """Delete files that no upload owns: of forgotten ones, and of those that a crash cut short."""
    if not directory.is_dir():
        return
    for file in directory.iterdir():
        if file.name not in kept and file.stat().st_mtime < youngest:
            file.unlink(missing_ok=True)
