"""From rows of the database to what the scheduler looks at; the schedule loop and the dry run share it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo

from madang.db.rows import GroupRow, NodeRow, ReservationRow, ScheduleRow, UsageRow
from madang.domain.calendar import Once, Weekly, occurrence_from, parse_weekly, windows_from, zone_of
from madang.domain.devices import counted
from madang.domain.notices import Maintenance
from madang.domain.why import Value, Why, WhyCode
from madang.scheduling.eligible import when
from madang.scheduling.policy import Pause, Policy, Reservation, Weights, Window
from madang.scheduling.snapshot import Device, Node
from madang.schemas.api import GroupPolicy

_DAY: float = 86_400.0


def node_of(row: NodeRow) -> Node:
    """A node as the scheduler sees it, without what sessions hold of it."""
    devices: dict[str, list[Device]] = {}
    for one in row.report.devices:
        device = Device(one.index, one.model, numa=one.numa, links=frozenset(one.links))
        devices.setdefault(one.kind, []).append(device)
    return Node(
        row.name,
        counted(row.slots),
        offers=frozenset(
            [f"environment {name}" for name in row.environments] + [f"network {mode}" for mode in row.report.networks]
        ),
        devices={kind: tuple(found) for kind, found in devices.items()},
    )


def policy_of(group: GroupRow, reserved: Iterable[ReservationRow], usage: Iterable[UsageRow], now: datetime) -> Policy:
    """The rules of a group at a moment: which window is in force, which reservations come, who used how much."""
    policy = group.policy
    at = now.timestamp()
    return Policy(
        group=group.name,
        queue=policy.queue,
        placement=policy.placement,
        backfill=policy.backfill,
        aging_seconds=policy.aging_seconds,
        weights=Weights(policy.user_weights, policy.project_weights),
        half_life_seconds=policy.half_life_days * _DAY,
        history={row.user: _decayed(row, at) for row in usage},
        windows=tuple(_windows(policy, at)),
        reservations=tuple(_reservations(reserved, at)),
        reservation_lead_seconds=policy.reservation_lead_hours * 3600,
        preemption=policy.preemption,
        grace_seconds=policy.preemption_grace_seconds,
    )


def pause_of(maintenance: Maintenance | None, now: datetime) -> Pause | None:
    """The pause of a maintenance that is on."""
    if maintenance is None or not maintenance.on(now):
        return None
    values: dict[str, Value] = {f"message_{language}": said for language, said in maintenance.message.items()}
    if maintenance.until is None:
        return Pause(Why(WhyCode.MAINTENANCE, values), math.inf)
    ends = maintenance.until.timestamp()
    return Pause(Why(WhyCode.MAINTENANCE, {"until": when(ends), **values}), ends)


def schedule_of(row: ScheduleRow) -> tuple[Weekly | Once, tzinfo]:
    """When a reservation holds, and in the time of which place. Raises InvalidInput."""
    zone = zone_of(row.timezone)
    if row.starts_at is not None and row.ends_at is not None:
        return Once(row.starts_at.timestamp(), row.ends_at.timestamp()), zone
    return parse_weekly(row.days, row.start or "00:00", row.end or "24:00"), zone


def weekly_windows(policy: GroupPolicy) -> Sequence[Weekly]:
    """The calendar of a group in its order. Raises InvalidInput."""
    return [parse_weekly(window.days, window.start, window.end) for window in policy.calendar]


def _windows(policy: GroupPolicy, now: float) -> Iterable[Window]:
    for index, starts, ends in windows_from(weekly_windows(policy), zone_of(policy.timezone), now):
        window = policy.calendar[index]
        yield Window(window.name, starts, ends, frozenset(window.kinds), window.gpus)


def _reservations(rows: Iterable[ReservationRow], now: float) -> Iterable[Reservation]:
    for row in rows:
        span = occurrence_from(*schedule_of(row.schedule), now)
        if span is not None:
            yield Reservation(
                row.name, *span, frozenset(row.users), row.slots, row.device_count, row.device_kind, row.models
            )


def _decayed(row: UsageRow, now: float) -> dict[str, float]:
    """Slot-seconds as they count now: half of them after each half-life."""
    part = 0.5 ** (max(now - row.as_of.timestamp(), 0) / row.half_life_seconds)
    return {slot: amount * part for slot, amount in row.slots.items()}
