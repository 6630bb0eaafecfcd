"""Signing keys, whose secrets are sealed, and the marks of signed requests, each of which is good once."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Final

from sqlalchemy import delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.rows import KeyNew
from madang.db.site_tables import seen_signatures, signing_keys

_k = signing_keys.c
_MARK: Final = seen_signatures.c


async def sealed_secret(connection: AsyncConnection, key_id: str, now: datetime) -> str | None:
    """The sealed secret of a key that is in force; None when it is unknown, expired or revoked."""
    good = (_k.revoked_at.is_(None), or_(_k.expires_at.is_(None), _k.expires_at > now))
    found: str | None = await connection.scalar(select(_k.sealed).where(_k.id == key_id, *good))
    return found


async def first_seen(transaction: Transaction, mark: bytes, until: datetime) -> bool:
    """Remember a mark until then; False when it is remembered already. Of two at once one is told True."""
    statement = insert(seen_signatures).values(mark=mark, until=until).on_conflict_do_nothing().returning(_MARK.mark)
    return await transaction.connection.scalar(statement) is not None


async def forget_seen(transaction: Transaction, before: datetime) -> None:
    """Forget the marks of requests that are too old to be taken anyway."""
    await transaction.connection.execute(delete(seen_signatures).where(_MARK.until < before))


async def add(transaction: Transaction, new: KeyNew) -> None:
    """Save a key."""
    values = {**asdict(new), "scopes": None if new.scopes is None else sorted(new.scopes)}
    await transaction.connection.execute(insert(signing_keys), values)
    transaction.emit("key.created", new.created_at, {"id": new.id, "label": new.label}, owner_id=new.user_id)


async def revoke(transaction: Transaction, user_id: str, key_id: str, at: datetime) -> str | None:
    """Take a key of a user back, for good; returns its label, None without one. What it opened ends."""
    mine = (_k.id == key_id, _k.user_id == user_id, _k.revoked_at.is_(None))
    statement = update(signing_keys).where(*mine).values(revoked_at=at).returning(_k.label)
    label: str | None = await transaction.connection.scalar(statement)
    if label is None:
        return None
    transaction.emit("key.revoked", at, {"id": key_id, "label": label}, owner_id=user_id)
    transaction.wake("tokens")
    return label


async def revoke_all(transaction: Transaction, user_id: str, at: datetime, *, but: str | None = None) -> int:
    """Take all keys of a user back, or all but one; returns how many."""
    mine = [_k.user_id == user_id, _k.revoked_at.is_(None)]
    if but is not None:
        mine.append(_k.id != but)
    statement = update(signing_keys).where(*mine).values(revoked_at=at).returning(_k.id, _k.label)
    found = (await transaction.connection.execute(statement)).all()
    for row in found:
        transaction.emit("key.revoked", at, {"id": row.id, "label": row.label}, owner_id=user_id)
    transaction.wake("tokens")
    return len(found)


async def touch(transaction: Transaction, key_id: str, at: datetime) -> None:
    """The key has been used."""
    await transaction.connection.execute(update(signing_keys).where(_k.id == key_id).values(last_used_at=at))
