"""Sessions that wait or hold room, as the scheduler wants to know them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from sqlalchemy import Row, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.repositories.containers import held_devices
from madang.db.repositories.session_rows import waiting_of
from madang.db.rows import DependencyRow, LiveRow, PartRow
from madang.db.tables import LIVE
from madang.domain.people import project_path
from madang.domain.session import Layout, SessionKind, SessionState

# What an earlier launch of a waiting session left of its containers does not count.
_SELECT: Final = f"""
    SELECT s.id, s.owner_id, u.name AS owner, s.name, s.kind, s.state, s.reason, s.waiting, s.environment, s.network,
        s.slots, s.created_at, s.resource_group, s.models, s.size, s.layout, s.priority, s.start_at, s.max_seconds,
        s.deadline, s.preemptible, s.reservation, s.started_at, s.held_since, s.stop_requested_at,
        s.stop_grace_seconds, s.stop_reason, s.preempted_for, s.project_id, p.name AS project, p.domain_id,
        o.name AS domain,
        CASE WHEN s.state <> 'pending' THEN (
            SELECT jsonb_agg(jsonb_build_array(c.node, c.slots, c.devices) ORDER BY c.position)
            FROM containers c WHERE c.session_id = s.id
        ) END AS parts,
        CASE WHEN s.state = 'pending' THEN (
            SELECT jsonb_agg(jsonb_build_array(w.id, w.name, w.state, d.ok) ORDER BY w.id)
            FROM session_dependencies d JOIN sessions w ON w.id = d.on_session_id WHERE d.session_id = s.id
        ) END AS dependencies
    FROM sessions s JOIN users u ON u.id = s.owner_id
    JOIN projects p ON p.id = s.project_id JOIN domains o ON o.id = p.domain_id
    WHERE s.{LIVE}
"""  # noqa: S608 - a constant

_PAGE_SIZE: Final = 1000
_COLUMNS: Final = {"slots": JSONB, "models": JSONB, "waiting": JSONB, "parts": JSONB, "dependencies": JSONB}
# Page by page along an index that holds live sessions only.
_PAGE: Final = text(
    f"""
    {_SELECT} AND (CAST(:group AS text) IS NULL OR s.resource_group = :group)
        AND (s.owner_id, s.name) > (:owner, :name) ORDER BY s.owner_id, s.name LIMIT :limit
    """
).bindparams(bindparam("group", type_=TEXT))
_BY_IDS: Final = text(f"{_SELECT} AND s.id = ANY(:ids)").bindparams(bindparam("ids", type_=ARRAY(Text)))
_EVERY: Final = _PAGE.columns(**_COLUMNS)
_SOME: Final = _BY_IDS.columns(**_COLUMNS)


async def every(connection: AsyncConnection, group: str | None = None) -> list[LiveRow]:
    """All of them, or those of one resource group, in no order."""
    return [row async for page in pages(connection, group) for row in page]


async def pages(connection: AsyncConnection, group: str | None = None) -> AsyncIterator[list[LiveRow]]:
    """The same bit by bit, so that thousands do not hold up everybody else in this process."""
    owner, name = "", ""
    while True:
        values = {"group": group, "owner": owner, "name": name, "limit": _PAGE_SIZE}
        found = [_row(row) for row in await connection.execute(_EVERY, values)]
        yield found
        if len(found) < _PAGE_SIZE:
            return
        owner, name = found[-1].owner_id, found[-1].name


async def some(connection: AsyncConnection, session_ids: Sequence[str]) -> list[LiveRow]:
    """Those of these sessions that wait or hold room, in no order."""
    return [_row(row) for row in await connection.execute(_SOME, {"ids": list(session_ids)})]


def _row(row: Row[*tuple[Any, ...]]) -> LiveRow:
    return LiveRow(
        id=row.id,
        owner_id=row.owner_id,
        owner=row.owner,
        name=row.name,
        kind=SessionKind(row.kind),
        state=SessionState(row.state),
        reason=row.reason,
        waiting=waiting_of(row.waiting),
        environment=row.environment,
        network=row.network,
        slots=row.slots,
        created_at=row.created_at,
        resource_group=row.resource_group,
        models=tuple(row.models),
        size=row.size,
        layout=Layout(row.layout),
        priority=row.priority,
        start_at=row.start_at,
        max_seconds=row.max_seconds,
        deadline=row.deadline,
        preemptible=row.preemptible,
        reservation=row.reservation,
        started_at=row.started_at,
        held_since=row.held_since,
        stop_requested_at=row.stop_requested_at,
        stop_grace_seconds=row.stop_grace_seconds,
        stop_reason=row.stop_reason,
        preempted_for=row.preempted_for,
        project_id=row.project_id,
        project=project_path(row.domain, row.project),
        domain_id=row.domain_id,
        domain=row.domain,
        parts=tuple(PartRow(node, slots, held_devices(devices)) for node, slots, devices in row.parts or ()),
        dependencies=tuple(
            DependencyRow(row.id, on_id, name, SessionState(state), ok)
            for on_id, name, state, ok in row.dependencies or ()
        ),
    )
