"""From rows to what users see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from madang.db.rows import ContainerRow, DeviceUse, EventRow, NodeRow, ReservationRow, SessionRow
from madang.domain.calendar import Span
from madang.domain.devices import device_slot
from madang.domain.errors import InvalidInput
from madang.domain.people import Caller, ShareLevel
from madang.domain.rights import Right, gives
from madang.domain.session import Exit, SessionState
from madang.schemas.agent import DeviceInfo
from madang.schemas.api import (
    DeviceState,
    Event,
    HeldDevice,
    NodeState,
    Reservation,
    Session,
    SessionContainer,
    SessionExit,
    Waiting,
)

_RIGHTS: Final = (Right.SESSION_READ, Right.SESSION_ENTER, Right.SESSION_STOP, Right.SESSION_SHARE)


def session_view(row: SessionRow, caller: Caller, share: ShareLevel | None = None) -> Session:
    """A session as a caller sees it with whom it is shared so far."""
    ties = caller.ties(owner_id=row.owner_id, project_id=row.project_id, domain_id=row.domain_id, share=share)
    reads = gives(Right.SESSION_READ, ties)
    main = row.main
    placed = main is not None and row.state is not SessionState.PENDING
    return Session(
        id=row.id,
        name=row.name,
        owner=row.owner,
        project=row.project,
        may=[right.value.partition(".")[2] for right in _RIGHTS if gives(right, ties)],
        kind=row.kind,
        state=row.state,
        reason=row.reason,
        environment=row.environment,
        command=row.command if reads else [],
        variables=row.variables if reads else {},
        slots=row.slots,
        processes=row.processes,
        network=row.network,
        node=main.node if main is not None and placed else None,
        exit=_exit_view(main.exit) if main is not None and placed else None,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        resource_group=row.resource_group,
        models=list(row.models),
        size=row.size,
        layout=row.layout,
        priority=row.priority,
        start_at=row.start_at,
        max_seconds=row.max_seconds,
        deadline=row.deadline,
        after=list(row.after),
        after_ok=list(row.after_ok),
        preemptible=row.preemptible,
        reservation=row.reservation,
        containers=[_container_view(one) for one in row.containers] if placed else [],
        waiting=_waiting_view(row),
        requeues=row.requeues,
    )


def _container_view(row: ContainerRow) -> SessionContainer:
    return SessionContainer(
        role="sub" if row.rank else "main",
        rank=row.rank,
        node=row.node,
        state=row.state,
        devices=[HeldDevice(kind=one.kind, index=one.index, milli=one.milli) for one in row.devices],
        exit=_exit_view(row.exit),
    )


def _exit_view(ended: Exit | None) -> SessionExit | None:
    if ended is None:
        return None
    return SessionExit(reason=ended.reason, code=ended.code, signal=ended.signal, message=ended.message)


def _waiting_view(row: SessionRow) -> Waiting | None:
    why = row.waiting
    if why is None or row.state is not SessionState.PENDING:
        return None
    return Waiting(
        code=why.code,
        values=why.values,
        position=why.position,
        of=why.of,
        estimated_start=why.estimated_start,
    )


def node_view(row: NodeRow, uses: Iterable[DeviceUse] = (), caller: Caller | None = None) -> NodeState:
    """A node with what of it is taken. `uses` are of its devices; the names in them are for those who may know."""
    by_device: dict[tuple[str, int], list[DeviceUse]] = {}
    for use in uses:
        by_device.setdefault((use.kind, use.index), []).append(use)
    return NodeState(
        name=row.name,
        state="ready" if row.ready else "unreachable",
        slots=row.slots,
        used={slot: row.used.get(slot, 0) for slot in row.slots},
        sessions=row.sessions,
        report=row.report,
        last_seen_at=row.last_seen_at,
        resource_group=row.resource_group,
        devices=[_device_view(one, by_device.get((one.kind, one.index), ()), caller) for one in row.report.devices],
    )


def _device_view(device: DeviceInfo, uses: Sequence[DeviceUse], caller: Caller | None) -> DeviceState:
    seen = [use.session for use in uses if caller is not None and (caller.is_admin or caller.user_id == use.owner_id)]
    return DeviceState(**device.model_dump(), used=sum(use.milli for use in uses), sessions=sorted(set(seen)))


def reservation_view(row: ReservationRow, span: Span | None) -> Reservation:
    """A reservation; `span` is when it is on or comes next, None when it is over."""
    schedule = row.schedule
    devices = {device_slot(row.device_kind): row.device_count} if row.device_kind else {}
    return Reservation(
        id=row.id,
        name=row.name,
        resource_group=row.resource_group,
        slots={**row.slots, **devices},
        models=list(row.models),
        users=list(row.users),
        days=list(schedule.days),
        start=schedule.start,
        end=schedule.end,
        timezone=schedule.timezone,
        starts_at=schedule.starts_at,
        ends_at=schedule.ends_at,
        next_start=datetime.fromtimestamp(span[0], UTC) if span is not None else None,
        next_end=datetime.fromtimestamp(span[1], UTC) if span is not None else None,
        created_at=row.created_at,
    )


def event_view(row: EventRow) -> Event:
    """An event; its id is its place in the stream."""
    return Event(id=f"{row.xid}-{row.id}", at=row.at, kind=row.kind, session=row.session_id, data=row.data)


def event_position(written: str | None) -> tuple[int, int]:
    """The place in the stream that an event id names; the very beginning for None. Raises InvalidInput."""
    if written is None:
        return (-1, -1)
    xid, _, number = written.partition("-")
    if not (xid.isascii() and xid.isdigit() and number.isascii() and number.isdigit() and len(written) <= 40):
        raise InvalidInput(f"'{written[:60]}' is not the id of an event; use the `id` of one that the stream sent.")
    return (min(int(xid), 2**63 - 1), min(int(number), 2**63 - 1))
