"""Submitting a session: from a request to a row that waits, or to what the scheduler would make of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, groups, people, policies, reservations, session_documents, sessions, uploads
from madang.db.repositories.session_documents import SessionDocuments
from madang.db.rows import DependencyRow, KeyRow, SessionRow
from madang.domain.calendar import occurrence_from
from madang.domain.errors import Conflict, Forbidden, IdempotencyMismatch, InvalidInput, NotFound
from madang.domain.ids import Clock, new_id
from madang.domain.limits import Asked, Rule, check_counts, check_request, strictest
from madang.domain.people import DEFAULT_PROJECT, Caller, Membership
from madang.domain.rights import Right
from madang.domain.session import ENDED, SessionState
from madang.fabric.base import Fabric
from madang.schemas.api import DEFAULT_GROUP, PlanAnswer, Session, SessionCreate
from madang.services.admission import admit
from madang.services.catalog import Catalog, Known
from madang.services.cluster import schedule_of
from madang.services.contents import SessionContents
from madang.services.notices import NoticeService
from madang.services.planning import Prospect, answer, read_prospect
from madang.services.room import Room
from madang.services.spending import require_means

_KEY_LIMIT: Final = 255


class SessionSubmission(SessionContents):
    """Errors of all: InvalidInput, InvalidSlots, ImpossibleRequest, Forbidden, Unavailable, UnderMaintenance, NotFound
    for what the request names and the caller may not know of."""

    def __init__(
        self,
        database: Database,
        fabric: Fabric,
        clock: Clock,
        *,
        catalog: Catalog,
        room: Room,
        notices: NoticeService,
    ) -> None:
        super().__init__(database, fabric)
        self._clock = clock
        self._catalog = catalog
        self._documents = SessionDocuments(database)
        self._room = room
        self._notices = notices

    async def create(self, caller: Caller, request: SessionCreate, idempotency_key: str | None = None) -> Session:
        """Accept a session; it is durable when this returns.

        The same key with the same request gives the session made before; with another one IdempotencyMismatch.
        Raises NameInUse and StorageFull, too.
        """
        if idempotency_key is not None and not 0 < len(idempotency_key) <= _KEY_LIMIT:
            raise InvalidInput(f"An Idempotency-Key has 1 to {_KEY_LIMIT} characters.")
        if idempotency_key is not None and "\0" in idempotency_key:
            raise InvalidInput("An Idempotency-Key cannot contain a NUL character.")
        self._room.require()
        digest = hashlib.sha256(request.model_dump_json().encode()).digest()
        known = await self._catalog.known()
        maintenance = await self._notices.maintenance()
        session_id = new_id()
        now = self._clock.now()

        async def save(transaction: Transaction) -> str:
            connection = transaction.connection
            if idempotency_key is not None:
                use = KeyRow(digest, session_id)
                used = await people.take_key(transaction, caller, idempotency_key, use, now)
                if used is not None:
                    return await _replay(connection, caller, used, digest)
            # After the key: what was accepted before is answered again, also when it would be refused by now.
            if maintenance is not None:
                maintenance.require_over(now)
            row = _row(session_id, caller, request, known, now)
            await _check_reservation(connection, caller, request, now)
            waits_for = await _dependencies(connection, caller, row, request)
            row = await _limited(transaction, row, request, now)
            row = replace(
                row,
                after=tuple(one.on_session_id for one in waits_for if not one.ok),
                after_ok=tuple(one.on_session_id for one in waits_for if one.ok),
            )
            if row.upload_id is not None:
                await uploads.require(transaction, caller, row.upload_id)
            if row.resource_group != DEFAULT_GROUP:  # that one is never deleted
                await groups.hold(transaction, row.resource_group)
            await sessions.add(transaction, row)
            after = {"slots": row.slots, "size": row.size, "project": row.project, "environment": row.environment}
            await audit.record(transaction, caller, "session.create", target_of(row), now, after=after)
            return await session_documents.of(connection, caller, row.id)

        return Session.model_validate_json(await self._database.transaction(save, "session.create"))

    async def plan(self, caller: Caller, request: SessionCreate) -> PlanAnswer:
        """What would become of the session if it were created now; nothing is kept of it."""
        known = await self._catalog.known()
        maintenance = await self._notices.maintenance()
        now = self._clock.now()
        if maintenance is not None:
            maintenance.require_over(now)
        row = _row(new_id(), caller, request, known, now)

        async def read(connection: AsyncConnection) -> Prospect:
            await _check_reservation(connection, caller, request, now)
            waits_for = await _dependencies(connection, caller, row, request)
            rules = await policies.rules(connection, row)
            limited = _asked_within(row, request, rules)
            await require_means(connection, row, rules, now)
            return await read_prospect(connection, limited, waits_for, now)

        prospect = await self._database.read(read)
        # In a thread: with thousands of waiting sessions it takes a moment.
        return await asyncio.to_thread(answer, prospect, caller)


def _row(session_id: str, caller: Caller, request: SessionCreate, known: Known, now: datetime) -> SessionRow:
    """The session as it will wait, without what it waits for."""
    project = _project(request, caller)
    admitted = admit(request, known.open_to(caller.user_id, project), caller, now)
    return SessionRow(
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
        created_at=now,
        started_at=None,
        ended_at=None,
        deleted_at=None,
        resource_group=request.resource_group,
        models=admitted.claim.models if admitted.claim is not None else (),
        size=request.size,
        layout=request.layout,
        priority=request.priority,
        start_at=request.start_at,
        max_seconds=request.max_seconds,
        deadline=request.deadline,
        preemptible=admitted.preemptible,
        reservation=request.reservation,
        project_id=project.project_id,
        project=project.path,
        domain_id=project.domain_id,
        domain=project.domain,
    )


async def _limited(transaction: Transaction, row: SessionRow, request: SessionCreate, now: datetime) -> SessionRow:
    """The session as the policies allow it. Raises LimitExceeded.

    Whoever else creates one that counts for the same limits waits until this transaction has ended: so as many are
    accepted as there is room for, and no more.
    """
    rules = await policies.rules(transaction.connection, row)
    row = _asked_within(row, request, rules)
    await require_means(transaction.connection, row, rules, now)
    counted = [one for one in rules if one.limits.sessions is not None or one.limits.pending is not None]
    if counted:
        await policies.hold_counts(transaction, row, counted)
        for rule in counted:
            live, pending = await policies.counts(transaction.connection, row, rule)
            check_counts(rule, live=live, pending=pending)
    return row


def _asked_within(row: SessionRow, request: SessionCreate, rules: Sequence[Rule]) -> SessionRow:
    """The session, with the longest run time that is allowed where it names none. Raises LimitExceeded."""
    check_request(
        Asked(
            slots=row.slots,
            size=row.size,
            environment=row.environment,
            group=row.resource_group,
            max_seconds=request.max_seconds,
        ),
        rules,
    )
    longest = strictest(*(one.limits for one in rules)).run_seconds
    return row if longest is None or row.max_seconds is not None else replace(row, max_seconds=float(longest))


def target_of(row: SessionRow) -> audit.Target:
    """A session, for the audit."""
    return audit.Target(row.id, row.name, row.domain_id)


def _project(request: SessionCreate, caller: Caller) -> Membership:
    """The project that the session belongs to: the one that is named, else the default one or the only one.

    Raises InvalidInput, NotFound, Forbidden.
    """
    mine = {one.path: one for one in caller.memberships.values()}
    if request.project is not None:
        found = caller.membership(request.project)
    elif DEFAULT_PROJECT in mine:
        found = mine[DEFAULT_PROJECT]
    elif len(mine) == 1:
        [found] = mine.values()
    elif mine:
        raise InvalidInput(f"Say with --project whose session it is: {', '.join(sorted(mine))}.")
    else:
        raise Forbidden("You are in no project yet, and every session belongs to one. Ask to be added to one.")
    caller.require(Right.SESSION_CREATE, project_id=found.project_id)
    return found


async def _dependencies(
    connection: AsyncConnection, caller: Caller, row: SessionRow, request: SessionCreate
) -> list[DependencyRow]:
    """What the session waits for, each once; to succeed is more than to end. Raises NotFound, InvalidInput.

    Only sessions that are there already can be named, so none ever wait for each other in a circle.
    """
    found: dict[str, DependencyRow] = {}
    for ref, ok in [*((one, True) for one in request.after_ok), *((one, False) for one in request.after)]:
        other = await _awaited(connection, caller, row, ref, ok=ok)
        found.setdefault(other.id, DependencyRow(row.id, other.id, other.name, other.state, ok))
    return list(found.values())


async def _awaited(connection: AsyncConnection, caller: Caller, row: SessionRow, ref: str, *, ok: bool) -> SessionRow:
    """A session to wait for; one that belongs to somebody else looks like one that does not exist."""
    try:
        found = await sessions.find(connection, caller, ref)
    except NotFound:
        if ref == row.name:
            raise InvalidInput(
                f"The session '{ref}' cannot wait for itself; leave it out of what it waits for."
            ) from None
        raise
    if ok and found.state in ENDED and found.state is not SessionState.SUCCEEDED:
        raise InvalidInput(
            f"Session '{found.name}' is {found.state}, so what waits for its success would never start. Run it again "
            "first, or wait for its end only."
        )
    return found


async def _check_reservation(
    connection: AsyncConnection, caller: Caller, request: SessionCreate, now: datetime
) -> None:
    name = request.reservation
    if name is None:
        return
    found = await reservations.find(connection, name)
    if found is None or not (caller.is_admin or caller.name in found.users):
        raise NotFound(f"There is no reservation '{name}' for you. 'madang reservation ls' shows those there are.")
    if found.resource_group != request.resource_group:
        raise InvalidInput(
            f"Reservation '{name}' keeps room in group '{found.resource_group}', and the session asks for group "
            f"'{request.resource_group}'. Ask for --group {found.resource_group}."
        )
    if occurrence_from(*schedule_of(found.schedule), now.timestamp()) is None:
        raise InvalidInput(f"Reservation '{name}' is over. Leave it out.")


async def _replay(connection: AsyncConnection, caller: Caller, used: KeyRow, digest: bytes) -> str:
    if used.digest != digest:
        raise IdempotencyMismatch(
            "This Idempotency-Key was used with a different request. Use a new key for a new session."
        )
    row = await sessions.by_id(connection, used.session_id)
    if row is None or row.deleted_at is not None:
        raise Conflict("The session that this Idempotency-Key made has been deleted. Use a new key for a new session.")
    return await session_documents.of(connection, caller, row.id)
