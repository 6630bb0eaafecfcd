"""Use cases of sessions: look at, stop, delete; submission and contents come with the classes they stand on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.repositories import sessions
from madang.db.rows import SessionRow
from madang.domain.errors import Conflict, InvalidInput, NotFound
from madang.domain.people import Caller
from madang.domain.session import ENDED, SessionKind, SessionState
from madang.schemas.api import Page, Session
from madang.services.submission import SessionSubmission
from madang.services.views import session_view

_PAGE_LIMIT: Final = 500
_GRACE_LIMIT: Final = 3600.0


class SessionService(SessionSubmission):
    """`ref` is a session's id, or its name: then the caller's live session of that name, else the newest one."""

    async def get(self, caller: Caller, ref: str) -> Session:
        """Raises NotFound, also when the session belongs to somebody else."""
        return session_view(await self._find(caller, ref))

    async def list(
        self,
        caller: Caller,
        *,
        states: Sequence[SessionState] = (),
        name: str | None = None,
        kind: SessionKind | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Session]:
        """Newest first. An admin sees all sessions, others their own. Raises InvalidInput for a bad cursor."""
        if not 1 <= limit <= _PAGE_LIMIT:
            raise InvalidInput(f"A page has 1 to {_PAGE_LIMIT} items.")
        if cursor is not None and (len(cursor) != 26 or not cursor.isascii() or not cursor.isalnum()):
            raise InvalidInput("The cursor is not one that a page of this list gave as `next`.")

        async def page(connection: AsyncConnection) -> list[SessionRow]:
            return await sessions.page(
                connection, caller, states=states, name=name, kind=kind, limit=limit + 1, before=cursor
            )

        rows = await self._database.read(page)
        more = len(rows) > limit
        return Page[Session](
            items=[session_view(row) for row in rows[:limit]], next=rows[limit - 1].id if more else None
        )

    async def stop(self, caller: Caller, ref: str, grace_seconds: float = 10) -> Session:
        """Ask the session to end; an ended one is returned as it is. The end itself comes later."""
        if not 0 <= grace_seconds <= _GRACE_LIMIT:
            raise InvalidInput(f"The grace time is 0 to {_GRACE_LIMIT:.0f} seconds.")
        found = await self._find(caller, ref)

        async def stop(transaction: Transaction) -> SessionRow:
            row = await _locked(transaction, found)
            now = self._clock.now()
            if row.state in ENDED:
                return row
            if row.state is SessionState.PENDING:
                return await sessions.move(transaction, row, SessionState.CANCELLED, now, "stopped before it ran")
            return await sessions.request_stop(transaction, row, now, grace_seconds)

        return session_view(await self._database.transaction(stop, "session.stop"))

    async def delete(self, caller: Caller, ref: str) -> None:
        """Forget an ended session with its logs and files. Raises Conflict unless it has ended."""
        found = await self._find(caller, ref)

        async def delete(transaction: Transaction) -> None:
            row = await _locked(transaction, found)
            if row.state not in ENDED:
                raise Conflict(f"Session '{row.name}' is {row.state}. Stop it first, and delete it when it has ended.")
            if row.deleted_at is None:
                await sessions.mark_deleted(transaction, row, self._clock.now())

        await self._database.transaction(delete, "session.delete")


async def _locked(transaction: Transaction, found: SessionRow) -> SessionRow:
    row = await sessions.lock(transaction, found.id)
    if row is None:
        raise NotFound(f"Session '{found.name}' has just been deleted.")
    return row
