"""The one stream of events, read so that none is ever skipped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, delete, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.rows import EventRow
from madang.db.tables import events

# Ids are given before transactions commit, so a lower one may appear after a higher one was read. An event is
# therefore held back until every transaction that began before its own has ended.
_READ: Final = text(
    """
    SELECT xid, id, at, kind, session_id, owner_id, data,
           xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS settled
    FROM events
    WHERE (xid, id) > (:xid, :id)
      AND (CAST(:session AS text) IS NULL OR session_id = :session)
      AND (CAST(:owner AS text) IS NULL OR owner_id = :owner OR (owner_id IS NULL AND kind = ANY(:public)))
    ORDER BY xid, id LIMIT :limit
    """
).bindparams(bindparam("session", type_=TEXT), bindparam("owner", type_=TEXT), bindparam("public", type_=ARRAY(TEXT)))

_PUBLIC: Final = ("announcement.changed", "announcement.removed", "maintenance.changed")

_OLDEST: Final = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
_NEWEST: Final = text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
_LAST_ID: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive events. `held_back`: more are there, but have to wait for a transaction that still runs."""

    events: list[EventRow]
    held_back: bool


async def after(
    connection: AsyncConnection,
    position: tuple[int, int],
    *,
    session_id: str | None = None,
    owner_id: str | None = None,
    limit: int = 500,
) -> Batch:
    """Events behind a position, of one session and one owner when given; everybody is told what is said to all."""
    values: dict[str, object] = {"xid": position[0], "id": position[1], "session": session_id, "owner": owner_id}
    values |= {"limit": limit, "public": list(_PUBLIC)}
    found: list[EventRow] = []
    for row in await connection.execute(_READ, values):
        if not row.settled:
            return Batch(found, held_back=True)
        found.append(EventRow(row.xid, row.id, row.at, row.kind, row.session_id, row.owner_id, row.data))
    return Batch(found, held_back=False)


async def horizon(connection: AsyncConnection) -> tuple[int, int]:
    """A position up to which every event is settled: what is read from now on shows all that they tell of."""
    oldest = await connection.scalar(_OLDEST)
    return (oldest or 1) - 1, _LAST_ID


async def begun(connection: AsyncConnection) -> int:
    """The newest transaction that has begun: a `horizon` from there on has everything before this moment behind it."""
    newest = await connection.scalar(_NEWEST)
    return (newest or 1) - 1


async def forget(transaction: Transaction, before: datetime) -> None:
    """Delete events older than a moment."""
    await transaction.connection.execute(delete(events).where(events.c.at < before))
