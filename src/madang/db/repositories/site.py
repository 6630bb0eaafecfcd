"""What is set for the whole site, by name."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.site_tables import site_settings

_s = site_settings.c


async def get(connection: AsyncConnection, name: str) -> Any:
    """The value of a setting, as JSON has it; None when it was never set."""
    return await connection.scalar(select(_s.value).where(_s.name == name))


async def put(transaction: Transaction, name: str, value: object, at: datetime) -> None:
    """Set it. Everybody who subscribed to `site` hears of it."""
    statement = insert(site_settings).values(name=name, value=value, changed_at=at)
    again = statement.on_conflict_do_update(index_elements=[_s.name], set_={"value": value, "changed_at": at})
    await transaction.connection.execute(again)
    transaction.wake("site")


async def drop(transaction: Transaction, name: str) -> None:
    """Let it be as if it had never been set."""
    await transaction.connection.execute(delete(site_settings).where(_s.name == name))
    transaction.wake("site")
