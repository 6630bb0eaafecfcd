"""Use cases of sessions: look at, stop, delete; submission and contents come with the classes they stand on."""

from __future__ import annotations

import json
from typing import Final

from madang.db.engine import Transaction
from madang.db.repositories import audit, projects, session_documents, sessions
from madang.db.repositories.session_documents import PageOf
from madang.db.rows import SessionRow
from madang.domain.errors import Conflict, InvalidInput, NotFound
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.domain.session import ENDED, SessionState
from madang.schemas.api import Page, Session, SessionQuery
from madang.services.contents import checked
from madang.services.submission import SessionSubmission, target_of

_ANY: Final = SessionQuery()
_GRACE_LIMIT: Final = 3600.0


class SessionService(SessionSubmission):
    """`ref` is a session's id, or its name: then the caller's live session of that name, else the newest one."""

    async def get(self, caller: Caller, ref: str) -> Session:
        """Raises NotFound, also when the caller has no right to see it."""
        return Session.model_validate_json(await self.get_json(caller, ref))

    async def get_json(self, caller: Caller, ref: str) -> str:
        """The same as JSON, as the database writes it."""
        return await self._documents.find(caller, checked(ref))

    async def list(self, caller: Caller, asked: SessionQuery = _ANY) -> Page[Session]:
        """Those that the caller has the right to see, newest first. Raises NotFound for a project that the caller may
        not know of."""
        return Page[Session].model_validate_json(await self.list_json(caller, asked))

    async def list_json(self, caller: Caller, asked: SessionQuery) -> str:
        """The same as JSON, as the database writes it."""
        project_id = None
        if (path := asked.project) is not None:
            project_id, _ = await self._database.read(lambda connection: projects.named(connection, caller, path))
        of = PageOf(tuple(asked.state), asked.name, asked.kind, project_id, asked.cursor, asked.limit)
        items, last = await self._documents.page(caller, of)
        return f'{{"items":[{",".join(items)}],"next":{"null" if last is None else json.dumps(last)}}}'

    async def stop(self, caller: Caller, ref: str, grace_seconds: float = 10) -> Session:
        """Ask the session to end; an ended one is returned as it is. The end itself comes later."""
        if not 0 <= grace_seconds <= _GRACE_LIMIT:
            raise InvalidInput(f"The grace time is 0 to {_GRACE_LIMIT:.0f} seconds.")
        found = await self._find(caller, ref, Right.SESSION_STOP)

        async def stop(transaction: Transaction) -> str:
            row = await _locked(transaction, found)
            now = self._clock.now()
            if row.state not in ENDED:
                target, before = target_of(row), {"state": row.state}
                await audit.record(transaction, caller, "session.stop", target, now, before=before)
                if row.state is SessionState.PENDING:
                    await sessions.move(transaction, row, SessionState.CANCELLED, now, "stopped before it ran")
                else:
                    await sessions.request_stop(transaction, row, now, grace_seconds)
            return await session_documents.of(transaction.connection, caller, row.id)

        return Session.model_validate_json(await self._database.transaction(stop, "session.stop"))

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


async def _locked(transaction: Transaction, found: SessionRow) -> SessionRow:
    row = await sessions.lock(transaction, found.id)
    if row is None:
        raise NotFound(f"Session '{found.name}' has just been deleted.")
    return row
