"""Use cases of sessions: create, look at, stop, delete."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import people, sessions, uploads
from madang.db.rows import KeyRow, SessionRow
from madang.domain.errors import Conflict, IdempotencyMismatch, InvalidInput, NotFound
from madang.domain.ids import Clock, new_id
from madang.domain.people import Caller
from madang.domain.session import ENDED, SessionKind, SessionState
from madang.fabric.base import Fabric
from madang.schemas.api import Page, Session, SessionCreate
from madang.services.admission import admit
from madang.services.catalog import NodeCatalog
from madang.services.contents import SessionContents
from madang.services.room import Room
from madang.services.views import session_view

_KEY_LIMIT: Final = 255
_PAGE_LIMIT: Final = 500
_GRACE_LIMIT: Final = 3600.0


class SessionService(SessionContents):
    """`ref` is a session's id, or its name: then the caller's live session of that name, else the newest one."""

    def __init__(self, database: Database, fabric: Fabric, clock: Clock, catalog: NodeCatalog, room: Room) -> None:
        super().__init__(database, fabric)
        self._clock = clock
        self._catalog = catalog
        self._room = room

    async def create(self, caller: Caller, request: SessionCreate, idempotency_key: str | None = None) -> Session:
        """Accept a session; it is durable when this returns.

        The same key with the same request gives the session made before; with another one IdempotencyMismatch.
        Raises InvalidInput, InvalidSlots, ImpossibleRequest, NameInUse, NotFound (no such upload), Unavailable,
        StorageFull.
        """
        if idempotency_key is not None and not 0 < len(idempotency_key) <= _KEY_LIMIT:
            raise InvalidInput(f"An Idempotency-Key has 1 to {_KEY_LIMIT} characters.")
        if idempotency_key is not None and "\0" in idempotency_key:
            raise InvalidInput("An Idempotency-Key cannot contain a NUL character.")
        self._room.require()
        digest = hashlib.sha256(request.model_dump_json().encode()).digest()
        admitted = admit(request, await self._catalog.nodes())
        session_id = new_id()
        row = SessionRow(
            id=session_id,
            owner_id=caller.user_id,
            owner=caller.name,
            name=request.name or f"{request.kind.value}-{session_id[-8:]}",
            kind=request.kind,
            state=SessionState.PENDING,
            reason="waits for its turn",
            environment=request.environment,
            command=admitted.command,
            variables=request.variables,
            slots=dict(admitted.slots),
            processes=request.processes,
            network=admitted.network,
            upload_id=request.upload,
            stop_requested_at=None,
            stop_grace_seconds=10,
            created_at=self._clock.now(),
            started_at=None,
            ended_at=None,
            deleted_at=None,
        )

        async def save(transaction: Transaction) -> SessionRow:
            if idempotency_key is not None:
                use = KeyRow(digest, session_id)
                used = await people.take_key(transaction, caller, idempotency_key, use, row.created_at)
                if used is not None:
                    return await _replay(transaction.connection, used, digest)
            if row.upload_id is not None:
                await uploads.require(transaction, caller, row.upload_id)
            await sessions.add(transaction, row)
            return row

        return session_view(await self._database.transaction(save, "session.create"))

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


async def _replay(connection: AsyncConnection, used: KeyRow, digest: bytes) -> SessionRow:
    if used.digest != digest:
        raise IdempotencyMismatch(
            "This Idempotency-Key was used with a different request. Use a new key for a new session."
        )
    row = await sessions.by_id(connection, used.session_id)
    if row is None or row.deleted_at is not None:
        raise Conflict("The session that this Idempotency-Key made has been deleted. Use a new key for a new session.")
    return row
