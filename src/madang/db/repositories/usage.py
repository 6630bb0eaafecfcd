"""What users took of resource groups: slot-seconds that count half after every half-life."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.rows import UsageRow
from madang.db.statements import among
from madang.db.tables import resource_groups, usage, users
from madang.domain.decay import decayed_seconds
from madang.schemas.api import GroupPolicy

_u = usage.c
_DAY: Final = 86_400.0

_HALF_LIVES: Final = select(resource_groups.c.name, resource_groups.c.policy["half_life_days"].label("days")).where(
    among(resource_groups.c.name, "names")
)

# What was there decays by the time that has passed since; nothing is read first, so nobody's share is ever overwritten.
_FOLD: Final = text(
    """
    INSERT INTO usage AS u (resource_group, user_id, slots, as_of, half_life_seconds)
    SELECT resource_group, user_id, slots, as_of, half_life_seconds FROM jsonb_to_recordset(:folds)
        AS f(resource_group text, user_id text, slots jsonb, as_of timestamptz, half_life_seconds float8)
    ORDER BY resource_group, user_id
    ON CONFLICT (resource_group, user_id) DO UPDATE SET
        slots = (
            SELECT jsonb_object_agg(slot, amount) FROM (
                SELECT slot, sum(amount) AS amount FROM (
                    SELECT key AS slot, value::float8 * power(
                        2, -greatest(extract(epoch FROM excluded.as_of - u.as_of), 0) / u.half_life_seconds
                    ) AS amount FROM jsonb_each_text(u.slots)
                    UNION ALL
                    SELECT key, value::float8 FROM jsonb_each_text(excluded.slots)
                ) AS parts GROUP BY slot
            ) AS sums
        ),
        as_of = greatest(u.as_of, excluded.as_of),
        half_life_seconds = excluded.half_life_seconds
    """
).bindparams(bindparam("folds", type_=JSONB))


@dataclass(frozen=True, slots=True)
class Held:
    """What a session held, and from when to when."""

    resource_group: str
    user_id: str
    slots: dict[str, int]
    since: datetime
    until: datetime


async def fold(transaction: Transaction, held: Sequence[Held]) -> None:
    """Add what sessions held to the usage of their owners. A group that is gone is not reckoned with."""
    names = sorted({one.resource_group for one in held})
    default = GroupPolicy().half_life_days
    days = {row.name: row.days for row in await transaction.connection.execute(_HALF_LIVES, {"names": names})}
    sums: dict[tuple[str, str], tuple[dict[str, float], datetime, float]] = {}
    for one in held:
        if one.resource_group not in days:
            continue
        half_life = float(days[one.resource_group] or default) * _DAY
        slots, as_of, _ = sums.get((one.resource_group, one.user_id), ({}, one.until, half_life))
        seconds = decayed_seconds(max((one.until - one.since).total_seconds(), 0), half_life)
        for slot, amount in one.slots.items():
            if not slot.endswith(".device"):  # held devices are counted in thousandths
                slots[slot] = slots.get(slot, 0.0) + amount * seconds
        sums[one.resource_group, one.user_id] = (slots, max(as_of, one.until), half_life)
    if not sums:
        return
    folds = [
        {
            "resource_group": group,
            "user_id": user_id,
            "slots": slots,
            "as_of": as_of.isoformat(),
            "half_life_seconds": half_life,
        }
        for (group, user_id), (slots, as_of, half_life) in sums.items()
    ]
    await transaction.connection.execute(_FOLD, {"folds": folds})


async def every(connection: AsyncConnection, group: str | None = None) -> list[UsageRow]:
    """The usage of all users, or of those of one group."""
    query = select(usage, users.c.name.label("user")).join(users, users.c.id == _u.user_id)
    if group is not None:
        query = query.where(_u.resource_group == group)
    return [
        UsageRow(row.resource_group, row.user_id, row.user, row.slots, row.as_of, row.half_life_seconds)
        for row in await connection.execute(query)
    ]
