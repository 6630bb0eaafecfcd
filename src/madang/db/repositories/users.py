"""Accounts, as far as a caller has the right to see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, delete, or_, select, text, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.failures import constraint_of
from madang.db.repositories import projects, sessions
from madang.db.repositories.projects import Count
from madang.db.rows import UserRow
from madang.db.site_tables import signing_keys
from madang.db.tables import LIVE, domains, memberships, reservations, tokens, users
from madang.db.tables import sessions as sessions_table
from madang.domain.errors import Conflict, NotFound
from madang.domain.people import Caller, ProjectRole
from madang.domain.rights import Right
from madang.domain.session import ENDED, SessionState

_u = users.c
_m = memberships.c
_s = sessions_table.c
_SELECT: Final = (
    select(users, domains.c.name.label("domain"))
    .join(domains, domains.c.id == _u.domain_id)
    .where(_u.deleted_at.is_(None))
    .order_by(_u.name)
)
_ADMINS: Final = select(_u.id).where(_u.role == "admin").order_by(_u.id)
_GONE: Final = text(
    """
    DELETE FROM users WHERE deleted_at IS NOT NULL
        AND NOT EXISTS (SELECT FROM sessions WHERE sessions.owner_id = users.id)
    """
)
_LEFT: Final = text(
    f"""
    SELECT u.id FROM users u WHERE u.deleted_at IS NOT NULL AND (
        NOT EXISTS (SELECT FROM sessions s WHERE s.owner_id = u.id)
        OR EXISTS (
            SELECT FROM sessions s WHERE s.owner_id = u.id AND s.deleted_at IS NULL
                AND (NOT {LIVE} OR s.stop_reason <> 'user')
        )
    ) ORDER BY u.id
    """  # noqa: S608 - a constant
)


def _seen_by(caller: Caller) -> ColumnElement[bool]:
    """The accounts that the caller has the right to see. Raises Forbidden when the credential lacks the scope."""
    reach = caller.reach(Right.USER_SEE)
    if reach.everything:
        return true()
    own = (caller.user_id,) if reach.own else ()
    return or_(_u.id.in_(own), _u.domain_id.in_(reach.domains))


def _row(row: Row[*tuple[Any, ...]]) -> UserRow:
    return UserRow(
        id=row.id,
        name=row.name,
        role=row.role,
        domain_id=row.domain_id,
        domain=row.domain,
        created_at=row.created_at,
        email=row.email,
        full_name=row.full_name,
        active=row.active,
        robot_of=row.robot_of,
        source=row.source,
        subject=row.subject,
    )


async def page(
    connection: AsyncConnection, caller: Caller, *, domain: str | None, limit: int, after: str | None, robots: bool
) -> list[UserRow]:
    """Those that the caller may see, by name, behind a name; with robots of projects or without."""
    query = _SELECT.where(_seen_by(caller)).limit(limit)
    query = query if robots else query.where(_u.robot_of.is_(None))
    query = query if domain is None else query.where(domains.c.name == domain)
    query = query if after is None else query.where(_u.name > after)
    return [_row(row) for row in await connection.execute(query)]


async def find(connection: AsyncConnection, caller: Caller, name: str) -> UserRow:
    """Raises NotFound, also for one that the caller may not see."""
    row = (await connection.execute(_SELECT.where(_u.name == name, _seen_by(caller)))).first()
    if row is None:
        raise NotFound(f"There is no user '{name[:60]}'. 'madang user ls' shows those there are.")
    return _row(row)


async def named(connection: AsyncConnection, name: str) -> UserRow:
    """The account of a person of exactly this name, of whatever domain: for those who know it. Raises NotFound."""
    row = (await connection.execute(_SELECT.where(_u.name == name, _u.active, _u.robot_of.is_(None)))).first()
    if row is None:
        raise NotFound(f"There is no user '{name[:60]}'. Write the exact name of the account.")
    return _row(row)


async def fellow(connection: AsyncConnection, caller: Caller, name: str) -> UserRow:
    """The account of exactly this name, if it is of the caller's domain or in a project of the caller, or the caller
    may see it anyway. Raises NotFound."""
    shared = select(_m.user_id).where(_m.user_id == _u.id, _m.project_id.in_(sorted(caller.memberships))).exists()
    known = or_(_u.domain_id == caller.domain_id, shared, true() if caller.is_admin else _u.id == caller.user_id)
    row = (await connection.execute(_SELECT.where(_u.name == name, _u.active, known))).first()
    if row is None:
        raise NotFound(f"There is no user '{name[:60]}' in your domain or one of your projects.")
    return _row(row)


async def lock_admins(transaction: Transaction) -> None:
    """Let nobody else change who is an administrator until the end of the transaction."""
    await transaction.connection.execute(_ADMINS.with_for_update())


async def require_admin(transaction: Transaction) -> None:
    """Raises Conflict when no administrator could sign in any more. To be asked after `lock_admins` and the change."""
    query = (
        select(_u.id)
        .join(domains, domains.c.id == _u.domain_id)
        .where(_u.role == "admin", _u.active, _u.deleted_at.is_(None), domains.c.active)
        .limit(1)
    )
    if (await transaction.connection.execute(query)).first() is None:
        raise Conflict("Nobody could administer the platform any more. Make somebody else administrator first.")


async def lock(transaction: Transaction, caller: Caller, name: str) -> UserRow:
    """The account as it is when nobody else changes it, locked until the end of the transaction. Raises NotFound."""
    found = await find(transaction.connection, caller, name)
    await transaction.connection.execute(select(_u.id).where(_u.id == found.id).with_for_update())
    return await find(transaction.connection, caller, name)


async def add(transaction: Transaction, row: UserRow, projects_of: Mapping[str, ProjectRole]) -> bool:
    """Save a new account, in projects by id; False when there is one of its name already."""
    values = {
        "id": row.id,
        "name": row.name,
        "role": row.role,
        "domain_id": row.domain_id,
        "email": row.email,
        "full_name": row.full_name,
        "active": row.active,
        "created_at": row.created_at,
        "robot_of": row.robot_of,
    }
    statement = insert(users).values(**values).on_conflict_do_nothing(index_elements=[_u.name]).returning(_u.id)
    if await transaction.connection.scalar(statement) is None:
        return False
    places = [
        {"project_id": project_id, "user_id": row.id, "role": role.value, "created_at": row.created_at}
        for project_id, role in projects_of.items()
    ]
    if places:
        await transaction.connection.execute(insert(memberships), places)
    transaction.emit("user.created", row.created_at, {"user": row.name, "domain": row.domain, "role": row.role})
    return True


async def save(transaction: Transaction, row: UserRow) -> None:
    """Write what can be changed of an account. Raises Conflict when another account is linked to the identity."""
    values = {
        "role": row.role,
        "domain_id": row.domain_id,
        "email": row.email,
        "full_name": row.full_name,
        "active": row.active,
        "source": row.source,
        "subject": row.subject,
    }
    try:
        await transaction.connection.execute(update(users).where(_u.id == row.id).values(**values))
    except IntegrityError as error:
        if constraint_of(error) == "users_identity":
            raise Conflict(
                f"'{row.subject}' of '{row.source}' is linked to another account. Unlink that one first: "
                "madang user unlink USER."
            ) from error
        raise
    transaction.wake("tokens")


async def sessions_of(connection: AsyncConnection, user_id: str) -> Count:
    """How many sessions somebody owns."""
    return await projects.count(connection, _s.owner_id == user_id)


async def remove(transaction: Transaction, row: UserRow, at: datetime, heir_id: str) -> None:
    """Delete an account: nobody can use it from now on, and its sessions are stopped and deleted.

    What it reserved for others is the heir's. The row itself goes when nothing of its sessions is left.
    """
    connection = transaction.connection
    await connection.execute(update(users).where(_u.id == row.id).values(active=False, deleted_at=at))
    await connection.execute(delete(tokens).where(tokens.c.user_id == row.id))
    await connection.execute(delete(signing_keys).where(signing_keys.c.user_id == row.id))
    await connection.execute(delete(memberships).where(_m.user_id == row.id))
    mine = reservations.c.created_by == row.id
    await connection.execute(update(reservations).where(mine).values(created_by=heir_id))
    await _end_sessions(transaction, row.id, at)
    await connection.execute(_GONE)
    transaction.wake("tokens")


async def unfinished(connection: AsyncConnection) -> list[str]:
    """The ids of deleted accounts for which `finish` has something to do."""
    return list((await connection.execute(_LEFT)).scalars())


async def finish(transaction: Transaction, user_ids: list[str], at: datetime) -> None:
    """Delete what has ended of these deleted accounts, then the accounts of which nothing is left."""
    for user_id in user_ids:
        await _end_sessions(transaction, user_id, at)
    await transaction.connection.execute(_GONE)


async def _end_sessions(transaction: Transaction, user_id: str, at: datetime) -> None:
    """Ask the sessions of a user to end, and delete those that have."""
    query = select(_s.id).where(_s.owner_id == user_id, _s.deleted_at.is_(None))
    found = (await transaction.connection.execute(query)).scalars().all()
    for row in (await sessions.lock_all(transaction, found)).values():
        after = row
        if row.state is SessionState.PENDING:
            after = await sessions.move(transaction, row, SessionState.CANCELLED, at, "its owner was deleted")
        elif row.state not in ENDED and row.stop_reason != "user":
            after = await sessions.request_stop(transaction, row, at, row.stop_grace_seconds)
        if after.state in ENDED and after.deleted_at is None:
            await sessions.mark_deleted(transaction, replace(after, deleted_at=at), at)
