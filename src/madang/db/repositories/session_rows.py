"""How rows of the database become `SessionRow`: one statement, and a second one where a session has sub containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, and_, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.repositories.containers import exit_of, held_devices, of_sessions
from madang.db.rows import ContainerRow, SessionRow, WaitingRow
from madang.db.tables import containers, domains, projects, session_dependencies, sessions, users
from madang.domain.container import ContainerState
from madang.domain.people import project_path
from madang.domain.session import Layout, SessionKind, SessionState

_s = sessions.c
_c = containers.c
_d = session_dependencies.c

_AFTER: Final = (
    select(func.jsonb_object_agg(_d.on_session_id, _d.ok, type_=JSONB))
    .where(_d.session_id == _s.id)
    .correlate(sessions)
    .scalar_subquery()
)

# The main container comes in the same row: nearly every session has no other.
WITH_MAIN: Final = (
    sessions.join(users, users.c.id == _s.owner_id)
    .join(projects, projects.c.id == _s.project_id)
    .join(domains, domains.c.id == projects.c.domain_id)
    .outerjoin(containers, and_(_c.session_id == _s.id, _c.role == "main", _c.position == 0))
)
SELECT: Final = select(
    sessions,
    users.c.name.label("owner"),
    projects.c.name.label("project"),
    domains.c.id.label("domain_id"),
    domains.c.name.label("domain"),
    _AFTER.label("dependencies"),
    _c.id.label("c_id"),
    _c.node.label("c_node"),
    _c.epoch.label("c_epoch"),
    _c.state.label("c_state"),
    _c.slots.label("c_slots"),
    _c.devices.label("c_devices"),
    _c.started_at.label("c_started_at"),
    _c.ended_at.label("c_ended_at"),
    _c.exit_reason.label("c_exit_reason"),
    _c.exit_code.label("c_exit_code"),
    _c.exit_signal.label("c_exit_signal"),
    _c.exit_message.label("c_exit_message"),
).select_from(WITH_MAIN)


async def complete(connection: AsyncConnection, found: Sequence[Row[*tuple[Any, ...]]]) -> list[SessionRow]:
    """The sessions of these rows of `SELECT`, in the same order, with all their containers."""
    rows = [_row(row) for row in found]
    gangs = [row.id for row in rows if row.size > 1 and row.containers]
    if not gangs:
        return rows
    subs: dict[str, list[ContainerRow]] = {}
    for container in await of_sessions(connection, gangs):
        if container.rank:
            subs.setdefault(container.session_id, []).append(container)
    return [replace(row, containers=(*row.containers, *subs.get(row.id, ()))) for row in rows]


def _row(row: Row[*tuple[Any, ...]]) -> SessionRow:
    dependencies: Mapping[str, bool] = row.dependencies or {}
    return SessionRow(
        id=row.id,
        owner_id=row.owner_id,
        owner=row.owner,
        name=row.name,
        kind=SessionKind(row.kind),
        state=SessionState(row.state),
        reason=row.reason,
        environment=row.environment,
        command=row.command,
        variables=row.variables,
        slots=row.slots,
        processes=row.processes,
        network=row.network,
        upload_id=row.upload_id,
        stop_requested_at=row.stop_requested_at,
        stop_grace_seconds=row.stop_grace_seconds,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        deleted_at=row.deleted_at,
        containers=_main(row),
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
        waiting=waiting_of(row.waiting),
        requeues=row.requeues,
        stop_reason=row.stop_reason,
        preempted_for=row.preempted_for,
        held_since=row.held_since,
        project_id=row.project_id,
        project=project_path(row.domain, row.project),
        domain_id=row.domain_id,
        domain=row.domain,
        after=tuple(sorted(one for one, ok in dependencies.items() if not ok)),
        after_ok=tuple(sorted(one for one, ok in dependencies.items() if ok)),
    )


def _main(row: Row[*tuple[Any, ...]]) -> tuple[ContainerRow, ...]:
    if row.c_id is None:
        return ()
    main = ContainerRow(
        row.c_id,
        row.id,
        row.c_node,
        row.c_epoch,
        ContainerState(row.c_state),
        row.c_started_at,
        row.c_ended_at,
        exit_of(row.c_exit_reason, row.c_exit_code, row.c_exit_signal, row.c_exit_message),
        0,
        row.c_slots,
        held_devices(row.c_devices),
    )
    return (main,)


def waiting_of(written: Mapping[str, Any] | None) -> WaitingRow | None:
    """The column `waiting`, read."""
    if written is None:
        return None
    start = written["estimated_start"]
    return WaitingRow(
        written["code"],
        written["values"],
        written["position"],
        written["of"],
        datetime.fromisoformat(start) if start is not None else None,
    )
