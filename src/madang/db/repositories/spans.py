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
from madang.db.repositories import ledger
from madang.db.repositories.held import HELD_DEVICES, HELD_SLOTS, HOLDING, devices_of
from madang.db.rows import HeldDevice, SessionRow
from madang.domain.devices import counted
from madang.domain.people import Caller, Reach
from madang.domain.rights import Right
from madang.domain.usage import Model, Period, Span

_ADD: Final = text(
    f"""
    INSERT INTO spans (session_id, session, user_id, user_name, project_id, project, domain_id, domain, resource_group,
        slots, devices, since, until)
    SELECT r.session_id, r.session, r.user_id, r.user_name, r.project_id, r.project, r.domain_id, r.domain,
        r.resource_group, r.slots, {devices_of("r.held")}, r.since, r.until
    FROM jsonb_to_recordset(:spans) AS r(session_id text, session text, user_id text, user_name text, project_id text,
        project text, domain_id text, domain text, resource_group text, slots jsonb, held jsonb, since timestamptz,
        until timestamptz)
    RETURNING project_id, user_id, domain_id, slots, devices, since, until
    """  # noqa: S608 - a constant
).bindparams(bindparam("spans", type_=JSONB))

_SEEN: Final = "(:everything OR user_id = :me OR project_id = ANY(:projects) OR domain_id = ANY(:domains))"
# One statement: of two, one would miss what ends between them, or tell of it twice.
_WITHIN: Final = text(
    f"""
    SELECT session_id, session, user_name, project, domain, slots, devices, since, until FROM spans
    WHERE until > :since AND since < :until AND {_SEEN}
    UNION ALL
    SELECT session_id, session, user_name, project, domain, slots, devices, since, until FROM (
        SELECT s.id AS session_id, s.name AS session, s.owner_id AS user_id, u.name AS user_name, s.project_id,
            CASE d.name WHEN 'default' THEN p.name ELSE d.name || '/' || p.name END AS project, p.domain_id,
            d.name AS domain, {HELD_SLOTS} AS slots, {HELD_DEVICES} AS devices, s.held_since AS since,
            CAST(:now AS timestamptz) AS until
        FROM sessions s JOIN users u ON u.id = s.owner_id JOIN projects p ON p.id = s.project_id
            JOIN domains d ON d.id = p.domain_id
        WHERE {HOLDING} AND s.held_since < :until
    ) AS held WHERE {_SEEN}
    """  # noqa: S608 - a constant
).bindparams(*(bindparam(name, type_=ARRAY(Text)) for name in ("projects", "domains")))


@dataclass(frozen=True, slots=True)
class Held:
    """What a session held of all nodes."""

    row: SessionRow
    since: datetime
    until: datetime


async def add(transaction: Transaction, held: Sequence[Held]) -> None:
    """Write down what sessions held, and add it to the totals of the months."""
    rows = await transaction.connection.execute(_ADD, {"spans": [_written(one) for one in held]})
    found = [(one, ledger.span_of(one.slots, one.devices, one.since, one.until)) for one in rows]
    await ledger.add(transaction, [(one.project_id, one.user_id, one.domain_id, span) for one, span in found])


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
    return [_span(row) for row in await connection.execute(_WITHIN, {**values, "now": now})]


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
