"""Live streams: the output of a session, and the events of the platform."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database
from madang.db.hub import Hub
from madang.db.repositories import events as stream
from madang.db.repositories import sessions
from madang.db.rows import SessionRow
from madang.domain.container import ContainerState
from madang.domain.errors import NotFound, Unavailable
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.domain.session import ENDED, SessionState
from madang.fabric.base import Fabric
from madang.schemas.agent import LogChunk, LogPage
from madang.schemas.api import Event
from madang.services.views import event_position, event_view

TICK_SECONDS: Final = 15.0
_HELD_BACK_SECONDS: Final = (0.01, 0.25)  # a transaction that holds events back mostly ends in a moment
_LAST: Final = frozenset(f"session.{state.value}" for state in ENDED)


class StreamService:
    """Streams never skip: each resumes exactly behind the cursor or event the reader saw last.

    Errors (NotFound, InvalidInput for a malformed cursor) are raised by the first step of the iterator.
    """

    def __init__(self, database: Database, fabric: Fabric, hub: Hub) -> None:
        self._database = database
        self._fabric = fabric
        self._hub = hub

    async def logs(
        self, caller: Caller, ref: str, *, cursor: int = 0, follow: bool = True
    ) -> AsyncIterator[LogChunk | None]:
        """Output from `cursor` on (negative: that many bytes back). None is a keep-alive tick, every 15 s of silence.

        Ends when the session has ended and all was read; without `follow` when all there is was read. Waits for a
        session that has not started yet when `follow`.
        """
        row = await self._database.read(lambda connection: sessions.find(connection, caller, ref, Right.SESSION_READ))
        with self._hub.subscribe(f"session:{row.id}") as changes:
            silent_since = time.monotonic()
            while True:
                ended = row.state in ENDED
                page = await self._read_log(row, cursor, wait=follow and not ended)
                if page is not None:
                    for chunk in page.chunks:
                        yield chunk
                    if page.chunks or page.cursor != cursor:
                        cursor = page.cursor
                        silent_since = time.monotonic()
                        continue
                if ended or not follow:
                    return
                if page is None or page.ended:
                    # Nothing to read before the session moves on.
                    await changes.wait(max(silent_since + TICK_SECONDS - time.monotonic(), 0.05))
                if time.monotonic() - silent_since >= TICK_SECONDS:
                    yield None
                    silent_since = time.monotonic()
                again = await self._again(row)
                if again is None:
                    return
                if row.main is not None and again.main is not None and row.main.epoch != again.main.epoch:
                    cursor = 0  # launched anew: its output begins anew
                row = again

    async def events(
        self, caller: Caller, *, session: str | None = None, after: str | None = None, follow: bool = True
    ) -> AsyncIterator[Event | None]:
        """Events behind `after`; all that are kept when it is absent. None is a keep-alive tick.

        With a session it ends behind that session's last event. Without one an administrator sees all events,
        others their own, and what is announced to all.
        """
        caller.require_scope(Right.SESSION_SEE)
        position = event_position(after)
        row: SessionRow | None = None
        if session is not None:
            wanted = session
            row = await self._database.read(lambda connection: sessions.find(connection, caller, wanted))
        owner = None if caller.is_admin or row is not None else caller.user_id
        session_id = row.id if row is not None else None
        with self._hub.subscribe("events" if session_id is None else f"session:{session_id}") as changes:
            pause = _HELD_BACK_SECONDS[0]
            while True:
                over = row is not None and row.state in ENDED
                batch = await self._batch(position, session_id, owner)
                for event in batch.events:
                    yield event_view(event)
                    position = event.position
                if batch.events:
                    if session_id is not None and batch.events[-1].kind in _LAST and not batch.held_back:
                        return
                    continue
                if batch.held_back:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _HELD_BACK_SECONDS[1])
                    continue
                pause = _HELD_BACK_SECONDS[0]
                if over or not follow:
                    return
                if not await changes.wait(TICK_SECONDS):
                    yield None
                if row is not None and (row := await self._again(row)) is None:
                    return  # deleted, which its last event came before

    async def _batch(self, position: tuple[int, int], session_id: str | None, owner: str | None) -> stream.Batch:
        async def read(connection: AsyncConnection) -> stream.Batch:
            return await stream.after(connection, position, session_id=session_id, owner_id=owner)

        return await self._database.read(read)

    async def _again(self, row: SessionRow) -> SessionRow | None:
        """The session as it is now; None when it has been deleted."""
        found = await self._database.read(lambda connection: sessions.by_id(connection, row.id))
        return None if found is None or found.deleted_at is not None else found

    async def _read_log(self, row: SessionRow, cursor: int, *, wait: bool) -> LogPage | None:
        """A page of output; None when there is no container that could have any."""
        if row.main is None or row.state in (SessionState.PENDING, SessionState.SCHEDULED):
            return None
        if row.main.state is ContainerState.REMOVED:
            raise NotFound(f"The logs and files of session '{row.name}' are no longer kept.")
        try:
            agent = self._fabric.agent(row.main.node)
            return await agent.read_log(row.main.id, cursor, wait=TICK_SECONDS if wait else 0)
        except NotFound:
            return None  # not made yet, or its launch failed before it was
        except Unavailable:
            if not wait:
                raise
            return None
