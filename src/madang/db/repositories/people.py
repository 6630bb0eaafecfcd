"""Users and idempotency keys."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.repositories import users as accounts
from madang.db.rows import KeyRow, UserRow
from madang.db.tables import domains, idempotency_keys, projects, users
from madang.domain.ids import new_id
from madang.domain.people import (
    DEFAULT_DOMAIN,
    DEFAULT_PROJECT,
    Caller,
    ProjectRole,
    Role,
)

_k = idempotency_keys.c


async def ensure_user(transaction: Transaction, name: str, role: Role, at: datetime) -> str:
    """The id of the user of this name, made when missing: in the default domain, with its default project."""
    connection = transaction.connection
    found = await connection.scalar(select(users.c.id).where(users.c.name == name))
    if found is not None:
        return str(found)
    query = (
        select(projects.c.id, projects.c.domain_id)
        .join(domains, domains.c.id == projects.c.domain_id)
        .where(domains.c.name == DEFAULT_DOMAIN, projects.c.name == DEFAULT_PROJECT)
    )
    home = (await connection.execute(query)).one()
    row = UserRow(new_id(), name, role, home.domain_id, DEFAULT_DOMAIN, at)
    in_project = ProjectRole.OWNER if role == "admin" else ProjectRole.MEMBER
    if not await accounts.add(transaction, row, {home.id: in_project}):  # somebody else has made it at the same moment
        return str(await connection.scalar(select(users.c.id).where(users.c.name == name)))
    return row.id


async def unknown(connection: AsyncConnection, names: Iterable[str]) -> list[str]:
    """Those of these names that no user has, sorted."""
    wanted = set(names)
    found = (await connection.execute(select(users.c.name).where(users.c.name.in_(wanted)))).scalars()
    return sorted(wanted - set(found))


async def take_key(transaction: Transaction, caller: Caller, key: str, use: KeyRow, at: datetime) -> KeyRow | None:
    """Reserve an idempotency key for a use; returns what the key stands for when it was used before.

    Waits for a concurrent request with the same key to commit or to fail.
    """
    values = {
        "owner_id": caller.user_id,
        "key": key,
        "digest": use.digest,
        "session_id": use.session_id,
        "created_at": at,
    }
    statement = insert(idempotency_keys).values(**values).on_conflict_do_nothing().returning(_k.key)
    if (await transaction.connection.execute(statement)).first() is not None:
        return None
    query = select(_k.digest, _k.session_id).where(_k.owner_id == caller.user_id, _k.key == key)
    row = (await transaction.connection.execute(query)).one()
    return KeyRow(row.digest, row.session_id)


async def forget_keys(transaction: Transaction, before: datetime) -> None:
    """Delete keys older than a moment."""
    await transaction.connection.execute(delete(idempotency_keys).where(_k.created_at < before))
