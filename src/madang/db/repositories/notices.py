"""Announcements, and whether the site is under maintenance."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, delete, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.repositories import site
from madang.db.site_rows import AnnouncementRow
from madang.db.site_tables import announcements
from madang.domain.errors import NotFound
from madang.domain.notices import Maintenance

_a = announcements.c
_SETTING: Final = "maintenance"
_SELECT: Final = select(announcements).order_by(_a.since.desc(), _a.id.desc())


def _row(row: Row[*tuple[Any, ...]]) -> AnnouncementRow:
    return AnnouncementRow(row.id, row.message, row.level, row.since, row.until, row.created_at, row.created_by)


async def every(connection: AsyncConnection, *, after: datetime | None = None) -> list[AnnouncementRow]:
    """Newest first; with `after` without those that are over by then."""
    query = _SELECT if after is None else _SELECT.where(or_(_a.until.is_(None), _a.until > after))
    return [_row(row) for row in await connection.execute(query)]


async def lock(transaction: Transaction, announcement_id: str) -> AnnouncementRow:
    """One, locked until the end of the transaction. Raises NotFound."""
    row = (await transaction.connection.execute(_SELECT.where(_a.id == announcement_id).with_for_update())).first()
    if row is None:
        raise NotFound(
            f"There is no announcement '{announcement_id[:40]}'. 'madang announcement ls' shows those there are."
        )
    return _row(row)


async def save(transaction: Transaction, row: AnnouncementRow, at: datetime) -> None:
    """Make an announcement, or change it."""
    values = {"message": dict(row.message), "level": row.level, "since": row.since, "until": row.until}
    statement = insert(announcements).values(id=row.id, created_at=row.created_at, created_by=row.created_by, **values)
    await transaction.connection.execute(statement.on_conflict_do_update(index_elements=[_a.id], set_=values))
    _tell(transaction, "announcement.changed", at, row.id)


async def remove(transaction: Transaction, announcement_id: str, at: datetime) -> None:
    """Delete one."""
    await transaction.connection.execute(delete(announcements).where(_a.id == announcement_id))
    _tell(transaction, "announcement.removed", at, announcement_id)


async def maintenance(connection: AsyncConnection) -> Maintenance | None:
    """The last one that was switched on and not off again; whether it is over by itself is for the reader to see."""
    value = await site.get(connection, _SETTING)
    if value is None:
        return None
    until = value["until"]
    return Maintenance(
        id=value["id"],
        message=value["message"],
        since=datetime.fromisoformat(value["since"]),
        until=None if until is None else datetime.fromisoformat(until),
        by=value["by"],
    )


async def set_maintenance(transaction: Transaction, wanted: Maintenance | None, at: datetime) -> None:
    """Switch it on, or off with None."""
    if wanted is None:
        await site.drop(transaction, _SETTING)
    else:
        value = {
            "id": wanted.id,
            "message": dict(wanted.message),
            "since": wanted.since.isoformat(),
            "until": None if wanted.until is None else wanted.until.isoformat(),
            "by": wanted.by,
        }
        await site.put(transaction, _SETTING, value, at)
    transaction.emit("maintenance.changed", at, {"on": wanted is not None, "id": None if wanted is None else wanted.id})


def _tell(transaction: Transaction, kind: str, at: datetime, announcement_id: str) -> None:
    transaction.emit(kind, at, {"announcement": announcement_id})
    transaction.wake("site")
