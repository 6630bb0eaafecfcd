"""Use cases of sessions: look at, stop, delete; submission and contents come with the classes they stand on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.repositories import audit, projects, session_rights, sessions
from madang.db.rows import SessionRow
from madang.domain.errors import Conflict, InvalidInput, NotFound
from madang.domain.people import Caller, ShareLevel
from madang.domain.rights import Right
from madang.domain.session import ENDED, SessionKind, SessionState
from madang.schemas.api import Page, Session
from madang.services.submission import SessionSubmission, target_of
from madang.services.views import session_view

_PAGE_LIMIT: Final = 500
_GRACE_LIMIT: Final = 3600.0


class SessionService(SessionSubmission):
    """`ref` is a session's id, or its name: then the caller's live session of that name, else the newest one."""

    async def get(self, caller: Caller, ref: str) -> Session:
        """Raises NotFound, also when the caller has no right to see it."""
        return await self._shown(caller, await self._find(caller, ref, Right.SESSION_SEE))

    async def list(
        self,
        caller: Caller,
        *,
        states: Sequence[SessionState] = (),
        name: str | None = None,
        kind: SessionKind | None = None,
        project: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Session]:
        """Those that the caller has the right to see, newest first. Raises InvalidInput for a bad cursor, NotFound for
        a project that the caller may not know of."""
        if not 1 <= limit <= _PAGE_LIMIT:
            raise InvalidInput(f"A page has 1 to {_PAGE_LIMIT} items.")
        if cursor is not None and (len(cursor) != 26 or not cursor.isascii() or not cursor.isalnum()):
            raise InvalidInput("The cursor is not one that a page of this list gave as `next`.")

        async def page(connection: AsyncConnection) -> tuple[list[SessionRow], Mapping[str, ShareLevel]]:
            project_id = None
            if project is not None:
                project_id, _ = await projects.named(connection, caller, project)
            rows = await sessions.page(
                connection,
                caller,
                states=states,
                name=name,
                kind=kind,
                project_id=project_id,
                limit=limit + 1,
                before=cursor,
            )
            return rows, await session_rights.shares(connection, caller, rows)

        rows, shares = await self._database.read(page)
        more = len(rows) > limit
        return Page[Session](
            items=[session_view(row, caller, shares.get(row.id)) for row in rows[:limit]],
            next=rows[limit - 1].id if more else None,
        )

    async def stop(self, caller: Caller, ref: str, grace_seconds: float = 10) -> Session:
        """Ask the session to end; an ended one is returned as it is. The end itself comes later."""
        if not 0 <= grace_seconds <= _GRACE_LIMIT:
            raise InvalidInput(f"The grace time is 0 to {_GRACE_LIMIT:.0f} seconds.")
        found = await self._find(caller, ref, Right.SESSION_STOP)

        async def stop(transaction: Transaction) -> SessionRow:
            row = await _locked(transaction, found)
            now = self._clock.now()
            if row.state in ENDED:
                return row
            await audit.record(transaction, caller, "session.stop", target_of(row), now, before={"state": row.state})
            if row.state is SessionState.PENDING:
                return await sessions.move(transaction, row, SessionState.CANCELLED, now, "stopped before it ran")
            return await sessions.request_stop(transaction, row, now, grace_seconds)

        return await self._shown(caller, await self._database.transaction(stop, "session.stop"))

    async def delete(self, caller: Caller, ref: str) -> None:
        """Forget an ended session with its logs and files. Raises Conflict unless it has ended."""
        found = await self._find(caller, ref, Right.SESSION_STOP)

        async def delete(transaction: Transaction) -> None:
            row = await _locked(transaction, found)
            if row.state not in ENDED:
                raise Conflict(f"Session '{row.name}' is {row.state}. Stop it first, and delete it when it has ended.")
            if row.deleted_at is None:
                now = self._clock.now()
                await sessions.mark_deleted(transaction, row, now)
                await audit.record(transaction, caller, "session.delete", target_of(row), now)

        await self._database.transaction(delete, "session.delete")

    async def _shown(self, caller: Caller, row: SessionRow) -> Session:
        """The session as this caller may see it."""
        shares = await self._database.read(lambda connection: session_rights.shares(connection, caller, [row]))
        return session_view(row, caller, shares.get(row.id))


async def _locked(transaction: Transaction, found: SessionRow) -> SessionRow:
    row = await sessions.lock(transaction, found.id)
    if row is None:
        raise NotFound(f"Session '{found.name}' has just been deleted.")
    return row
