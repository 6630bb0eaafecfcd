"""Uploads that are kept: young ones, and those a session still has to unpack."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.rows import UploadRow
from madang.db.tables import sessions, uploads
from madang.domain.errors import NotFound
from madang.domain.people import Caller

_u = uploads.c


async def add(transaction: Transaction, row: UploadRow) -> None:
    """Save an accepted upload."""
    values = {"id": row.id, "owner_id": row.owner_id, "size": row.size, "created_at": row.created_at}
    await transaction.connection.execute(insert(uploads), values)


async def require(transaction: Transaction, caller: Caller, upload_id: str) -> None:
    """Hold an upload of the caller until the end of the transaction. Raises NotFound."""
    query = select(_u.id).where(_u.id == upload_id, _u.owner_id == caller.user_id).with_for_update(key_share=True)
    if (await transaction.connection.execute(query)).first() is None:
        raise NotFound(f"There is no upload '{upload_id}': uploads are kept for an hour. Send the archive again.")


async def forget(transaction: Transaction, before: datetime) -> None:
    """Delete uploads older than a moment that no session waits to unpack."""
    used = select(sessions.c.id).where(sessions.c.upload_id == _u.id).exists()
    await transaction.connection.execute(delete(uploads).where(_u.created_at < before, ~used))


async def ids(connection: AsyncConnection) -> set[str]:
    """All uploads that are kept."""
    return set((await connection.execute(select(_u.id))).scalars())
