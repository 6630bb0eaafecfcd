"""What sessions held, and from when to when: written when they let it go, kept when they are deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.rows import HeldDevice, SessionRow
from madang.domain.devices import counted
from madang.domain.people import Caller, Reach
from madang.domain.rights import Right
from madang.domain.usage import Model, Period, Span

# The models are those that the nodes report at this moment.
_DEVICES: Final = """
    (
        SELECT coalesce(jsonb_agg(jsonb_build_array(kind, model, milli) ORDER BY kind, model), '[]') FROM (
            SELECT h ->> 0 AS kind, coalesce(d ->> 'model', '') AS model, sum((h ->> 2)::int) AS milli
            FROM jsonb_array_elements({held}) h LEFT JOIN nodes n ON n.name = h ->> 3
            LEFT JOIN LATERAL jsonb_array_elements(n.report -> 'devices') d
                ON d ->> 'kind' = h ->> 0 AND d ->> 'index' = h ->> 1
            GROUP BY 1, 2
        ) AS models
    )
"""
_ADD: Final = text(
    f"""
    INSERT INTO spans (session_id, session, user_id, user_name, project_id, project, domain_id, domain, resource_group,
        slots, devices, since, until)
    SELECT r.session_id, r.session, r.user_id, r.user_name, r.project_id, r.project, r.domain_id, r.domain,
        r.resource_group, r.slots, {_DEVICES.format(held="r.held")}, r.since, r.until
    FROM jsonb_to_recordset(:spans) AS r(session_id text, session text, user_id text, user_name text, project_id text,
        project text, domain_id text, domain text, resource_group text, slots jsonb, held jsonb, since timestamptz,
        until timestamptz)
    """  # noqa: S608 - a constant
).bindparams(bindparam("spans", type_=JSONB))

_SEEN: Final = "(:everything OR user_id = :me OR project_id = ANY(:projects) OR domain_id = ANY(:domains))"
_ENDED: Final = text(
    f"""
    SELECT session_id, session, user_name, project, domain, slots, devices, since, until FROM spans
    WHERE until > :since AND since < :until AND {_SEEN}
    """  # noqa: S608 - a constant
)
_GOING_ON: Final = text(
    f"""
    SELECT * FROM (
        SELECT s.id AS session_id, s.name AS session, s.owner_id AS user_id, u.name AS user_name, s.project_id,
            CASE d.name WHEN 'default' THEN p.name ELSE d.name || '/' || p.name END AS project, p.domain_id,
            d.name AS domain,
            (
                SELECT jsonb_object_agg(key, amount) FROM (
                    SELECT key, sum(value::bigint) AS amount
                    FROM containers c, jsonb_each_text(c.slots) WHERE c.session_id = s.id GROUP BY key
                ) AS sums
            ) AS slots,
            {_DEVICES.format(held="(SELECT coalesce(jsonb_agg(jsonb_build_array(g ->> 'kind', g ->> 'index', g ->> 'milli', c.node)), '[]') FROM containers c, jsonb_array_elements(c.devices) g WHERE c.session_id = s.id)")} AS devices,
            s.held_since AS since, CAST(:now AS timestamptz) AS until
        FROM sessions s JOIN users u ON u.id = s.owner_id JOIN projects p ON p.id = s.project_id
            JOIN domains d ON d.id = p.domain_id
        WHERE s.state IN ('scheduled', 'preparing', 'running', 'terminating') AND s.held_since < :until
    ) AS held WHERE {_SEEN}
    """  # noqa: S608, E501 - a constant
)
_ARRAYS: Final = tuple(bindparam(name, type_=ARRAY(Text)) for name in ("projects", "domains"))


@dataclass(frozen=True, slots=True)
class Held:
    """What a session held of all nodes."""

    row: SessionRow
    since: datetime
    until: datetime


async def add(transaction: Transaction, held: Sequence[Held]) -> None:
    """Write down what sessions held."""
    await transaction.connection.execute(_ADD, {"spans": [_written(one) for one in held]})


def _written(held: Held) -> dict[str, object]:
    row, slots = held.row, dict[str, int]()
    for container in row.containers:
        for slot, amount in counted(container.slots).items():
            slots[slot] = slots.get(slot, 0) + amount
    return {
        "session_id": row.id,
        "session": row.name,
        "user_id": row.owner_id,
        "user_name": row.owner,
        "project_id": row.project_id,
        "project": row.project,
        "domain_id": row.domain_id,
        "domain": row.domain,
        "resource_group": row.resource_group,
        "slots": slots,
        "held": [_device(one, container.node) for container in row.containers for one in container.devices],
        "since": held.since.isoformat(),
        "until": max(held.until, held.since).isoformat(),
    }


def _device(one: HeldDevice, node: str) -> list[object]:
    return [one.kind, one.index, one.milli, node]


async def within(connection: AsyncConnection, caller: Caller, period: Period, now: datetime) -> list[Span]:
    """What the caller may see of what was held within a period, until now where it is held still."""
    values = {**_seen(caller, caller.reach(Right.USAGE_SEE)), "since": period.since, "until": period.until}
    ended = (await connection.execute(_ENDED.bindparams(*_ARRAYS), values)).all()
    held = (await connection.execute(_GOING_ON.bindparams(*_ARRAYS), {**values, "now": now})).all()
    return [_span(row) for row in (*ended, *held)]


def _seen(caller: Caller, reach: Reach) -> dict[str, object]:
    return {
        "everything": reach.everything,
        "me": caller.user_id,
        "projects": list(reach.projects),
        "domains": list(reach.domains),
    }


def _span(row: Row[*tuple[Any, ...]]) -> Span:
    return Span(
        session=f"{row.session} {row.session_id}",
        user=row.user_name,
        project=row.project,
        domain=row.domain,
        since=row.since,
        until=row.until,
        slots=counted(row.slots or {}),
        devices={Model(kind, model): int(milli) for kind, model, milli in row.devices},
    )
