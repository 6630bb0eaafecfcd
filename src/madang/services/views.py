"""From rows to what users see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from madang.db.rows import DeviceUse, EventRow, NodeRow, ReservationRow
from madang.domain.calendar import Span
from madang.domain.devices import device_slot
from madang.domain.errors import InvalidInput
from madang.domain.people import Caller
from madang.schemas.agent import DeviceInfo
from madang.schemas.api import (
    DeviceState,
    Event,
    NodeState,
    Reservation,
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
