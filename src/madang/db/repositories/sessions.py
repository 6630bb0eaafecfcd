"""Sessions: reading them as a caller may, and moving them through their states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    Integer,
    Select,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.failures import constraint_of
from madang.db.repositories import moves
from madang.db.repositories.session_rights import Seen, newest_named, require, values_of, visible
from madang.db.repositories.session_rows import SELECT, complete
from madang.db.rows import SessionRow
from madang.db.statements import among
from madang.db.tables import HOLDING, LIMITED, containers, session_dependencies, sessions
from madang.domain.errors import NameInUse, NotFound
from madang.domain.ids import ID_LENGTH
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.domain.session import SessionState

_s = sessions.c
_c = containers.c


# Statements are built once for each combination of conditions: building one costs more than running it.


@cache
def _find_by_id(seen: Seen) -> Select[*tuple[Any, ...]]:
    return SELECT.where(*visible(seen), _s.id == bindparam("ref"))


@cache
def _find_by_name(seen: Seen) -> Select[*tuple[Any, ...]]:
    return newest_named(SELECT.where(*visible(seen)))


_BY_ID: Final = SELECT.where(_s.id == bindparam("ref"))
_BY_IDS: Final = SELECT.where(among(_s.id, "ids"))
_LOCK: Final = select(_s.id).where(among(_s.id, "ids")).order_by(_s.id).with_for_update(of=sessions)

_TERMINATING: Final = (
    SELECT.where(text("sessions.state = 'terminating'")).order_by(_s.id).limit(bindparam("limit", type_=Integer))
)
# As an array, so that the sessions are looked up by their ids: a join might read all that ever were.
_LOCK_OWNERS: Final = text(
    """
    SELECT id FROM sessions WHERE id = ANY(ARRAY(SELECT session_id FROM containers WHERE id = ANY(:ids)))
    ORDER BY id FOR UPDATE
    """
).bindparams(bindparam("ids", type_=ARRAY(Text)))

_TO_LAUNCH: Final = (
    select(_s.id)
    .join(containers, (_c.session_id == _s.id) & (_c.role == "main"))
    .where(
        text(f"sessions.{HOLDING}"),
        text("sessions.state IN ('scheduled', 'preparing')"),
        ~among(_s.id, "busy"),
        among(_c.node, "nodes"),
    )
    .order_by(_s.created_at, _s.id)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(of=sessions, skip_locked=True)
)
_NAMES: Final = select(_s.id, _s.name).where(among(_s.id, "ids"))

_LIMITS: Final = text(
    f"""
    SELECT id, started_at + make_interval(secs => max_seconds) AS ends_at FROM sessions
    WHERE {LIMITED} AND started_at IS NOT NULL ORDER BY ends_at LIMIT :limit
    """  # noqa: S608 - a constant
)

STOP_ASKED: Final = "stop was asked for"


async def find(connection: AsyncConnection, caller: Caller, ref: str, right: Right = Right.SESSION_SEE) -> SessionRow:
    """By id, or by name: the caller's own live session of that name, else the newest that the caller may see.

    Raises NotFound for what the caller may not see, and Forbidden for what may be seen, but not what `right` says.
    """
    reach = caller.reach(Right.SESSION_SEE)
    seen, values = Seen.of(reach), {"ref": ref, **values_of(caller, reach)}
    row = None
    if len(ref) == ID_LENGTH:
        row = (await connection.execute(_find_by_id(seen), values)).first()
    if row is None:
        row = (await connection.execute(_find_by_name(seen), values)).first()
    if row is None:
        raise NotFound(f"There is no session '{ref[:60]}'. 'madang session ls' shows those there are.")
    found = (await complete(connection, [row]))[0]
    await require(connection, caller, found, right)
    return found


async def by_id(connection: AsyncConnection, session_id: str) -> SessionRow | None:
    """Any session, for the platform itself."""
    row = (await connection.execute(_BY_ID, {"ref": session_id})).first()
    return None if row is None else (await complete(connection, [row]))[0]


async def by_ids(connection: AsyncConnection, session_ids: Sequence[str]) -> list[SessionRow]:
    """Those of the sessions that are there, in no order, for the platform itself."""
    if not session_ids:
        return []
    return await complete(connection, (await connection.execute(_BY_IDS, {"ids": session_ids})).all())


async def add(transaction: Transaction, *rows: SessionRow) -> None:
    """Save new sessions. Raises NameInUse when the owner of one has a live one of its name, NotFound when its
    project has just been deleted."""
    try:
        await transaction.connection.execute(insert(sessions), [_new(row) for row in rows])
    except IntegrityError as error:
        if constraint_of(error) == "sessions_live_name":
            raise NameInUse(
                f"You have a live session named '{rows[0].name}'. Choose another name, or stop that one first."
            ) from error
        if constraint_of(error) == "sessions_project":
            raise NotFound(f"The project '{rows[0].project}' has just been deleted.") from error
        raise
    dependencies = [
        {"session_id": row.id, "on_session_id": one, "ok": ok}
        for row in rows
        for ok, others in ((False, row.after), (True, row.after_ok))
        for one in others
    ]
    if dependencies:
        await transaction.connection.execute(insert(session_dependencies), dependencies)
    for row in rows:
        moves.tell(transaction, row, row.created_at)


def _new(row: SessionRow) -> dict[str, object]:
    return {
        "id": row.id,
        "owner_id": row.owner_id,
        "name": row.name,
        "kind": row.kind.value,
        "state": row.state.value,
        "reason": row.reason,
        "environment": row.environment,
        "command": row.command,
        "variables": row.variables,
        "slots": row.slots,
        "processes": row.processes,
        "network": row.network,
        "upload_id": row.upload_id,
        "created_at": row.created_at,
        "resource_group": row.resource_group,
        "models": list(row.models),
        "size": row.size,
        "layout": row.layout.value,
        "priority": row.priority,
        "start_at": row.start_at,
        "max_seconds": row.max_seconds,
        "deadline": row.deadline,
        "preemptible": row.preemptible,
        "reservation": row.reservation,
        "project_id": row.project_id,
    }


async def lock(transaction: Transaction, session_id: str) -> SessionRow | None:
    """The session, locked until the end of the transaction; None when it is gone."""
    return (await lock_all(transaction, [session_id])).get(session_id)


async def lock_all(transaction: Transaction, session_ids: Iterable[str]) -> dict[str, SessionRow]:
    """Sessions by id, locked until the end of the transaction; those that are gone are absent.

    Two statements, since one that had to wait for a lock would show the containers as they were before the wait.
    """
    wanted = sorted(set(session_ids))
    locked = (await transaction.connection.execute(_LOCK, {"ids": wanted})).scalars().all()
    return {row.id: row for row in await by_ids(transaction.connection, locked)}


async def lock_owners(transaction: Transaction, container_ids: Sequence[str]) -> list[SessionRow]:
    """The sessions that these containers belong to, locked until the end of the transaction."""
    locked = (await transaction.connection.execute(_LOCK_OWNERS, {"ids": list(container_ids)})).scalars().all()
    return await by_ids(transaction.connection, locked)


async def move(
    transaction: Transaction,
    row: SessionRow,
    then: SessionState,
    at: datetime,
    reason: str = "",
    *,
    happened_at: datetime | None = None,
) -> SessionRow:
    """Take a session, which has to be locked, one step further, and write the event.

    `happened_at` is when it really began to run or ended, if that is not now. Returns the row as it is afterwards;
    raises InvalidTransition.
    """
    after = moves.step(row, then, at, reason, happened_at=happened_at)
    await moves.save(transaction, [moves.Change(row, after, (after,))], at)
    return after


async def request_stop(transaction: Transaction, row: SessionRow, at: datetime, grace_seconds: float) -> SessionRow:
    """Stop a session, which has to be locked and to hold room, because somebody asked; returns it as it is afterwards.

    A second, more impatient request shortens the grace time. One that gives way to another session is not queued anew
    then; one that ends for a reason of its own keeps that reason.
    """
    grace = grace_seconds if row.stop_requested_at is None else min(grace_seconds, row.stop_grace_seconds)
    if row.state is not SessionState.TERMINATING:
        after = moves.begin_stop(row, "user", at, grace, STOP_ASKED)
    elif row.stop_reason == "preempted":
        after = replace(row, stop_reason="user", preempted_for=None, stop_grace_seconds=grace, reason=STOP_ASKED)
    else:
        after = replace(row, stop_requested_at=row.stop_requested_at or at, stop_grace_seconds=grace)
    steps = () if after.state is row.state else (after,)
    await moves.save(transaction, [moves.Change(row, after, steps)], at)
    transaction.wake("session.terminating")
    return after


async def mark_deleted(transaction: Transaction, row: SessionRow, at: datetime) -> None:
    """Hide an ended session; what it left on nodes is removed afterwards, then the row."""
    await transaction.connection.execute(update(sessions).where(_s.id == row.id).values(deleted_at=at))
    transaction.emit("session.deleted", at, {"name": row.name}, session_id=row.id, owner_id=row.owner_id)


_NOTHING_LEFT: Final = text(
    """
    sessions.deleted_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM containers c WHERE c.session_id = sessions.id AND c.state <> 'removed'
    ) AND NOT EXISTS (
        SELECT FROM session_dependencies d JOIN sessions w ON w.id = d.session_id
        WHERE d.on_session_id = sessions.id AND w.state = 'pending'
    )
    """
)


async def any_purgeable(connection: AsyncConnection) -> bool:
    """Whether there are deleted sessions of which nothing is left on any node, and that nobody waits for."""
    return (await connection.execute(select(_s.id).where(_NOTHING_LEFT).limit(1))).first() is not None


async def purge_deleted(transaction: Transaction) -> None:
    """Drop those."""
    await transaction.connection.execute(delete(sessions).where(_NOTHING_LEFT))


async def terminating(connection: AsyncConnection, limit: int = 1000) -> list[SessionRow]:
    """Sessions of all owners that are being stopped, oldest first."""
    return await complete(connection, (await connection.execute(_TERMINATING, {"limit": limit})).all())


async def claim_scheduled(
    transaction: Transaction, nodes: Sequence[str], busy: Sequence[str], limit: int, at: datetime
) -> list[SessionRow]:
    """Sessions to launch, oldest first: scheduled ones, preparing now, and preparing ones nobody here is busy with.

    Only those whose main container is on one of these nodes.
    """
    values = {"nodes": list(nodes), "busy": list(busy), "limit": limit}
    locked = (await transaction.connection.execute(_TO_LAUNCH, values)).scalars().all()
    rows = sorted(await by_ids(transaction.connection, locked), key=lambda row: (row.created_at, row.id))
    changes = [moves.Change(row, *_prepared(row, at)) for row in rows]
    await moves.save(transaction, changes, at)
    return [change.after for change in changes]


def _prepared(row: SessionRow, at: datetime) -> tuple[SessionRow, tuple[SessionRow, ...]]:
    if row.state is SessionState.PREPARING:
        return row, ()
    after = moves.step(row, SessionState.PREPARING, at)
    return after, (after,)


async def next_limits(connection: AsyncConnection, limit: int) -> list[tuple[str, datetime]]:
    """Running sessions that may not run for ever, with the moments at which their time is over, soonest first."""
    return [(row.id, row.ends_at) for row in await connection.execute(_LIMITS, {"limit": limit})]


async def names(connection: AsyncConnection, session_ids: Iterable[str]) -> dict[str, str]:
    """Names of sessions by id; those that are gone are absent."""
    return {row.id: row.name for row in await connection.execute(_NAMES, {"ids": sorted(session_ids)})}


async def count_by_state(connection: AsyncConnection) -> dict[str, int]:
    """How many sessions are in each state."""
    query = select(_s.state, func.count().label("sessions")).where(_s.deleted_at.is_(None)).group_by(_s.state)
    return {row.state: row.sessions for row in await connection.execute(query)}
