"""Presets: named slot bundles of resource groups."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.site_rows import PresetRow
from madang.db.site_tables import presets

_p = presets.c


async def every(connection: AsyncConnection, group: str | None = None) -> list[PresetRow]:
    """Those of one resource group or of all, by group and name."""
    query = select(presets).order_by(_p.resource_group, _p.name)
    query = query if group is None else query.where(_p.resource_group == group)
    return [
        PresetRow(row.resource_group, row.name, row.title, row.slots, row.created_at)
        for row in await connection.execute(query)
    ]


async def save(transaction: Transaction, row: PresetRow) -> None:
    """Make a preset, or give it other slots and another title."""
    values = {"title": row.title, "slots": dict(row.slots)}
    statement = insert(presets).values(
        resource_group=row.resource_group, name=row.name, created_at=row.created_at, **values
    )
    await transaction.connection.execute(
        statement.on_conflict_do_update(index_elements=[_p.resource_group, _p.name], set_=values)
    )
    _tell(transaction, row.resource_group, row.name, row.created_at)


async def remove(transaction: Transaction, group: str, name: str, at: datetime) -> None:
    """Delete one."""
    await transaction.connection.execute(delete(presets).where(_p.resource_group == group, _p.name == name))
    _tell(transaction, group, name, at)


def _tell(transaction: Transaction, group: str, name: str, at: datetime) -> None:
    transaction.emit("preset.changed", at, {"group": group, "preset": name})
