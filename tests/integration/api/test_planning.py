"""What Python programs ask of devices, time and groups arrives at the server as they meant it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from madang.domain.errors import Forbidden, InvalidSlots, NotFound
from madang.domain.session import Layout
from madang.schemas.api import CalendarWindow, GroupPolicy
from madang.sdk import AsyncClient, Client
from tests.fake_platform import FakePlatform


@pytest.fixture
def blocking(platform: FakePlatform) -> Iterator[Client]:
    with Client(platform.url, platform.token) as client:
        yield client


def test_everything_that_may_be_asked_for_arrives(platform: FakePlatform, blocking: Client) -> None:
    first = blocking.sessions.create(["x"])
    start = datetime.now(UTC) + timedelta(hours=1)
    answer = blocking.sessions.plan(
        ["train"],
        slots={"cpu": "2", "cuda.device": 2},
        models="H100|A100",
        size=2,
        layout=Layout.SPREAD,
        resource_group="big",
        priority=-3,
        start_at=start,
        max_seconds=timedelta(hours=2),
        deadline=start + timedelta(days=1),
        after=[first, "other"],
        after_ok=[first.id],
        preemptible=False,
        reservation="class",
    )
    [asked] = platform.sessions.planned
    assert asked.models == ["A100", "H100"]
    assert (asked.size, asked.layout, asked.resource_group, asked.priority) == (2, Layout.SPREAD, "big", -3)
    assert (asked.start_at, asked.max_seconds, asked.deadline) == (start, 7200, start + timedelta(days=1))
    assert (asked.after, asked.after_ok) == ([first.id, "other"], [first.id])
    assert (asked.preemptible, asked.reservation) == (False, "class")
    assert not answer.starts
    assert answer.waiting is not None
    assert (answer.waiting.position, answer.waiting.of) == (3, 7)


def test_a_time_without_a_zone_is_local(platform: FakePlatform, blocking: Client) -> None:
    naive = datetime(2030, 6, 1, 9)
    blocking.sessions.plan(["x"], start_at=naive, deadline=naive + timedelta(hours=1))
    [asked] = platform.sessions.planned
    assert asked.start_at == naive.astimezone()


def test_models_that_are_none_are_refused_before_anything_is_sent(blocking: Client) -> None:
    with pytest.raises(InvalidSlots, match="names no model"):
        blocking.sessions.plan(["x"], models="A100|")


async def test_a_plan_that_starts_tells_where(client: AsyncClient) -> None:
    answer = await client.sessions.plan(["x"], size=2)
    assert answer.starts
    assert [(one.rank, one.node) for one in answer.placements] == [(0, "here"), (1, "here")]


def test_groups_are_made_changed_and_deleted(blocking: Client) -> None:
    policy = GroupPolicy(queue="fifo", calendar=[CalendarWindow(name="always")])
    assert blocking.groups.set("big", policy).policy == policy
    assert [group.name for group in blocking.groups.list()] == ["default", "big"]
    changed = blocking.groups.get("big").policy.model_copy(update={"preemption": True})
    assert blocking.groups.set("big", changed).policy.preemption
    blocking.groups.delete("big")
    with pytest.raises(NotFound):
        blocking.groups.get("big")
    with pytest.raises(Forbidden, match="Ask one"):
        blocking.groups.set("forbidden", policy)


def test_reservations_are_made_and_deleted(blocking: Client) -> None:
    made = blocking.reservations.create(
        "class", slots={"cuda.device": "8"}, users=["alice"], days=["tue"], start="09:00", end="12:00"
    )
    assert (made.slots, made.days, made.start) == ({"cuda.device": 8}, ["tue"], "09:00")
    assert blocking.reservations.list() == [made]
    assert blocking.reservations.get("class") == made
    blocking.reservations.delete("class")
    assert blocking.reservations.list() == []


def test_a_node_moves_to_another_group(blocking: Client) -> None:
    assert blocking.nodes.update("here", resource_group="big").resource_group == "big"


def test_methods_a_path_does_not_know_are_told_with_those_it_does(http: httpx.Client) -> None:
    response = http.post("/api/v1/nodes/here")
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, PATCH"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"size": 0}, "size"),
        ({"layout": "heap"}, "layout"),
        ({"start_at": "2030-01-01T09:00:00"}, "timezone"),
        ({"max_seconds": "inf"}, "max_seconds"),
        ({"after": ["A B"]}, "after"),
        ({"models": ["A|B"]}, "models"),
    ],
)
def test_fields_that_cannot_be_are_named(http: httpx.Client, body: dict[str, object], says: str) -> None:
    response = http.post("/api/v1/sessions:plan", json={"command": ["x"], **body})
    assert response.status_code == 422
    assert says in response.json()["detail"]
