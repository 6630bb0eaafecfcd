"""Tallies of failed attempts to sign in, shared by all managers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from madang.db.engine import Transaction
from madang.db.site_tables import sign_in_attempts
from madang.domain.throttle import Tally

_a = sign_in_attempts.c
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


async def change(
    transaction: Transaction, keys: Collection[str], work: Callable[[Mapping[str, Tally]], Mapping[str, Tally]]
) -> None:
    """Read the tallies of these keys and write what `work` makes of them; nobody else changes one meanwhile."""
    connection, ordered = transaction.connection, sorted(keys)
    blank = [{"key": key, "count": 0.0, "at": _EPOCH} for key in ordered]
    await connection.execute(insert(sign_in_attempts).values(blank).on_conflict_do_nothing())
    query = select(_a.key, _a.count.label("failures"), _a.at).where(_a.key.in_(ordered))
    query = query.order_by(_a.key).with_for_update()
    tallies = {row.key: Tally(row.failures, row.at) for row in await connection.execute(query) if row.at > _EPOCH}
    made = work(tallies)
    if not made:
        return
    rows = [{"key": key, "count": made[key].count, "at": made[key].at} for key in sorted(made)]
    statement = insert(sign_in_attempts).values(rows)
    again = {"count": statement.excluded.count, "at": statement.excluded.at}
    await connection.execute(statement.on_conflict_do_update(index_elements=[_a.key], set_=again))


async def forget(transaction: Transaction, before: datetime) -> None:
    """Delete what was not touched since a moment."""
    await transaction.connection.execute(delete(sign_in_attempts).where(_a.at < before))
