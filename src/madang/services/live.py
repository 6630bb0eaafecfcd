"""From rows of live sessions to what the scheduler looks at; the schedule loop and the dry run share it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from types import MappingProxyType

from madang.db.repositories.closures import Closed
from madang.db.rows import DependencyRow, LiveRow, PartRow
from madang.domain.access import Access
from madang.domain.devices import Share, claim_of, counted
from madang.domain.session import ENDED, SessionState
from madang.domain.why import Why, WhyCode
from madang.scheduling.snapshot import Part, Request, Running
from madang.services.spending import closed_for


def request_of(row: LiveRow, access: Access | None = None, closed: Closed = MappingProxyType({})) -> Request:
    """A waiting session as the scheduler sees it, in a group that is open so far. Raises InvalidSlots."""
    return Request(
        id=row.id,
        slots=counted(row.slots),
        arrived=row.created_at.timestamp(),
        needs=frozenset({f"environment {row.environment}", f"network {row.network}"}),
        claim=claim_of(row.slots, row.models),
        size=row.size,
        layout=row.layout,
        user=row.owner,
        project=row.project,
        domain=row.domain,
        kind=row.kind,
        priority=row.priority,
        start_at=_seconds(row.start_at),
        max_seconds=row.max_seconds,
        deadline=_seconds(row.deadline),
        blocked_by=blocked_by(row, access, closed),
        reservation=row.reservation or "",
        gave_way_to=row.preempted_for or "",
    )


def running_of(row: LiveRow) -> Running:
    """A session that holds room as the scheduler sees it."""
    stopping = row.state is SessionState.TERMINATING
    return Running(
        id=row.id,
        parts=tuple(part_of(part) for part in row.parts),
        user=row.owner,
        project=row.project,
        domain=row.domain,
        kind=row.kind,
        priority=row.priority,
        started=(row.held_since or row.created_at).timestamp(),
        ends=_ends(row),
        preemptible=row.preemptible and not stopping,
        making_room_for=(row.preempted_for or "") if stopping and row.stop_reason == "preempted" else "",
        reservation=row.reservation or "",
    )


def part_of(row: PartRow) -> Part:
    """The room of one container."""
    return Part(
        row.node,
        counted(row.slots),
        row.devices[0].kind if row.devices else "",
        tuple(Share(one.index, one.milli) for one in row.devices),
    )


def _ends(row: LiveRow) -> float | None:
    if row.state is SessionState.TERMINATING and row.stop_requested_at is not None:
        return row.stop_requested_at.timestamp() + row.stop_grace_seconds
    began = row.started_at or row.held_since
    return began.timestamp() + row.max_seconds if began is not None and row.max_seconds is not None else None


def blocked_by(row: LiveRow, access: Access | None, closed: Closed) -> Why | None:
    """What has to happen before a waiting session may start at all; None: nothing."""
    return _blocked_by(row.dependencies) or _shut_out(row, access) or closed_for(row, closed)


def opens_for(access: Access | None, row: LiveRow) -> bool:
    """Whether a group is open to a session."""
    return access is None or access.opens_for(row.owner_id, row.project_id, row.domain_id)


def _shut_out(row: LiveRow, access: Access | None) -> Why | None:
    if opens_for(access, row):
        return None
    return Why(WhyCode.NO_ACCESS, {"group": row.resource_group, "user": row.owner, "project": row.project})


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _blocked_by(dependencies: Iterable[DependencyRow]) -> Why | None:
    """The first dependency that is not met, one that can never be before all others; None when all are."""
    open_one = None
    for one in dependencies:
        if one.on_state not in ENDED:
            open_one = open_one or Why(WhyCode.AFTER, {"name": one.on_name} | ({"ok": 1} if one.ok else {}))
        elif one.ok and one.on_state is not SessionState.SUCCEEDED:
            return Why(WhyCode.DEPENDENCY_FAILED, {"name": one.on_name, "state": one.on_state.value})
    return open_one
