"""Users, tokens and idempotency keys."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.rows import KeyRow, TokenRow
from madang.db.tables import idempotency_keys, tokens, users
from madang.domain.ids import new_id
from madang.domain.people import Caller, Role

_k = idempotency_keys.c


async def by_digest(connection: AsyncConnection, digest: bytes) -> TokenRow | None:
    """The token of a SHA-256 digest, with its user; also when it has expired or is revoked."""
    query = (
        select(users.c.id, users.c.name, users.c.role, tokens.c.expires_at, tokens.c.revoked_at)
        .join(users, users.c.id == tokens.c.user_id)
        .where(tokens.c.digest == digest)
    )
    row = (await connection.execute(query)).first()
    return None if row is None else TokenRow(row.id, row.name, row.role, row.expires_at, row.revoked_at)


async def ensure_user(transaction: Transaction, name: str, role: Role, at: datetime) -> str:
    """The id of the user of this name, made when missing."""
    statement = insert(users).values(id=new_id(), name=name, role=role, created_at=at)
    await transaction.connection.execute(statement.on_conflict_do_nothing(index_elements=[users.c.name]))
    found = await transaction.connection.scalar(select(users.c.id).where(users.c.name == name))
    return str(found)


async def unknown(connection: AsyncConnection, names: Iterable[str]) -> list[str]:
    """Those of these names that no user has, sorted."""
    wanted = set(names)
    found = (await connection.execute(select(users.c.name).where(users.c.name.in_(wanted)))).scalars()
    return sorted(wanted - set(found))


async def add_token(transaction: Transaction, user_id: str, digest: bytes, label: str, at: datetime) -> None:
    """Save a token by its digest; the token itself is never stored."""
    values = {"id": new_id(), "user_id": user_id, "digest": digest, "label": label, "created_at": at}
    await transaction.connection.execute(insert(tokens), values)
    transaction.wake("tokens")


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
