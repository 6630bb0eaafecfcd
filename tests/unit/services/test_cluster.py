"""What administrators write down as a policy is what the scheduler then goes by, at any moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from madang.db.rows import GroupRow, ReservationRow, ScheduleRow, UsageRow
from madang.domain.session import SessionKind
from madang.schemas.api import CalendarWindow, GroupPolicy
from madang.services.cluster import node_of, policy_of
from tests.unit.services.test_admission import make_node

NOW = datetime(2026, 12, 1, 1, tzinfo=UTC)  # a Tuesday, 10:00 in Seoul
CALENDAR = [
    CalendarWindow.model_validate({"name": "day", "start": "09:00", "end": "18:00", "kinds": ["interactive"]}),
    CalendarWindow.model_validate({"name": "night", "start": "18:00", "end": "09:00", "gpus": "fractions"}),
]


def _group(**fields: object) -> GroupRow:
    return GroupRow("default", GroupPolicy.model_validate(fields), NOW)


def _reservation(**schedule: object) -> ReservationRow:
    return ReservationRow(
        id="0" * 26,
        name="class",
        resource_group="default",
        slots={"cpu": 1000},
        device_kind="cuda",
        device_count=8,
        models=("A100",),
        users=("kim",),
        schedule=ScheduleRow(**schedule),  # type: ignore[arg-type]
        created_by="1" * 26,
        created_at=NOW,
    )


def test_a_node_counts_its_devices_one_by_one() -> None:
    node = node_of(make_node("n", gpus={"A100": 2, "H100": 1}))
    assert dict(node.capacity) == {"cpu": 4000, "mem": 8 << 30}
    assert [(device.index, device.model) for device in node.devices["cuda"]] == [(0, "A100"), (1, "A100"), (2, "H100")]
    assert node.offers == {"environment python", "network none", "network outbound"}


def test_lengths_are_in_seconds() -> None:
    policy = policy_of(_group(half_life_days=2, reservation_lead_hours=0.5, preemption_grace_seconds=7), [], [], NOW)
    assert (policy.half_life_seconds, policy.reservation_lead_seconds, policy.grace_seconds) == (172_800, 1800, 7)


def test_the_window_in_force_comes_first_in_the_time_of_the_place() -> None:
    policy = policy_of(_group(calendar=CALENDAR, timezone="Asia/Seoul"), [], [], NOW)
    day, night = policy.windows[:2]
    assert (day.name, set(day.kinds), day.gpus) == ("day", {SessionKind.INTERACTIVE}, "any")
    assert day.starts == (NOW - timedelta(hours=1)).timestamp()
    assert (night.name, night.gpus, night.starts) == ("night", "fractions", day.ends)
    assert policy_of(_group(calendar=CALENDAR), [], [], NOW).windows[0].name == "night"  # it is 01:00 in UTC


def test_reservations_are_those_that_are_on_or_come_next() -> None:
    weekly = _reservation(days=("tue",), start="09:00", end="12:00", timezone="Asia/Seoul")
    over = _reservation(starts_at=NOW - timedelta(hours=2), ends_at=NOW)
    [found] = policy_of(_group(), [weekly, over], [], NOW).reservations
    assert (found.starts, found.ends) == (
        (NOW - timedelta(hours=1)).timestamp(),
        (NOW + timedelta(hours=2)).timestamp(),
    )
    assert (found.claim_kind, found.claim_count, found.claim_models) == ("cuda", 8, ("A100",))
    assert (dict(found.slots), set(found.users)) == ({"cpu": 1000}, {"kim"})


def test_usage_counts_half_after_each_half_life() -> None:
    row = UsageRow("default", "0" * 26, "kim", {"cpu": 8000.0}, NOW - timedelta(days=2), 86_400)
    assert policy_of(_group(queue="fair-share"), [], [row], NOW).history["kim"]["cpu"] == pytest.approx(2000)
