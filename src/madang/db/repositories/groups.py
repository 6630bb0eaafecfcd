"""Resource groups: named sets of nodes, each with its own queue and policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, delete, func, null, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.rows import GroupRow
from madang.db.tables import HOLDING, resource_groups, sessions
from madang.domain.access import Access, read, written
from madang.domain.errors import NotFound
from madang.domain.people import Caller
from madang.domain.session import SessionState
from madang.schemas.api import GroupPolicy

_g = resource_groups.c
_s = sessions.c
_SELECT: Final = select(resource_groups).order_by(_g.name)


@dataclass(frozen=True, slots=True)
class Load:
    """How many sessions of a group wait, and how many hold room."""

    pending: int = 0
    holding: int = 0


def _row(row: Row[*tuple[Any, ...]]) -> GroupRow:
    return GroupRow(row.name, GroupPolicy.model_validate(row.policy), row.created_at, read(row.access))


async def every(connection: AsyncConnection) -> list[GroupRow]:
    """All groups by name."""
    return [_row(row) for row in await connection.execute(_SELECT)]


async def seen_by(connection: AsyncConnection, caller: Caller) -> list[GroupRow]:
    """Those that are open to the caller; administrators see all."""
    return [row for row in await every(connection) if row.access is None or row.access.shows_to(caller)]


async def find(connection: AsyncConnection, name: str) -> GroupRow | None:
    """One group, None when there is none of this name."""
    row = (await connection.execute(_SELECT.where(_g.name == name))).first()
    return None if row is None else _row(row)


async def lock(transaction: Transaction, name: str) -> GroupRow | None:
    """The group, locked until the end of the transaction: its policy and reservations are changed by one at a time."""
    row = (await transaction.connection.execute(_SELECT.where(_g.name == name).with_for_update())).first()
    return None if row is None else _row(row)


async def hold(transaction: Transaction, name: str) -> None:
    """Keep the group from being deleted until the end of the transaction. Raises NotFound."""
    query = select(_g.name).where(_g.name == name).with_for_update(key_share=True, read=True)
    if (await transaction.connection.execute(query)).first() is None:
        raise NotFound(f"There is no resource group '{name}'. 'madang group ls' shows those there are.")


async def save(
    transaction: Transaction, name: str, policy: GroupPolicy, at: datetime, access: Access | None = None
) -> None:
    """Make a group, or give an existing one another policy and open it to others; None: to everybody."""
    values = {"policy": policy.model_dump(mode="json"), "access": null() if access is None else written(access)}
    statement = insert(resource_groups).values(name=name, created_at=at, **values)
    await transaction.connection.execute(statement.on_conflict_do_update(index_elements=[_g.name], set_=values))
    transaction.emit("group.changed", at, {"group": name})


async def remove(transaction: Transaction, name: str, at: datetime) -> None:
    """Delete a group that has no nodes, with its reservations and the usage in it."""
    await transaction.connection.execute(delete(resource_groups).where(_g.name == name))
    transaction.emit("group.removed", at, {"group": name})


async def loads(connection: AsyncConnection) -> Mapping[str, Load]:
    """Live sessions by group; groups without any are absent."""
    pending = func.count().filter(_s.state == SessionState.PENDING.value)
    holding = func.count().filter(text(HOLDING))
    query = (
        select(_s.resource_group, pending.label("pending"), holding.label("holding"))
        .where((_s.state == SessionState.PENDING.value) | text(HOLDING))
        .group_by(_s.resource_group)
    )
    return {row.resource_group: Load(row.pending, row.holding) for row in await connection.execute(query)}
