"""Resource groups, nodes and reservations: who may change them, and what is refused with which advice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from madang.domain.errors import (
    Conflict,
    Forbidden,
    ImpossibleRequest,
    InvalidInput,
    InvalidSlots,
    MadangError,
    NameInUse,
    NotFound,
)
from madang.schemas.api import CalendarWindow, GroupPolicy, NodeUpdate, Reservation, ReservationCreate
from tests.fakes import FakeAgent
from tests.world import World

WORKDAYS = ["mon", "tue", "wed", "thu", "fri"]


@pytest.fixture
async def cluster(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """Eight A100 on two nodes, two H100 on a third; no loops: the test makes the steps."""
    agents = [
        FakeAgent("gpu-01", gpus=["A100"] * 4),
        FakeAgent("gpu-02", gpus=["A100"] * 4),
        FakeAgent("gpu-03", gpus=["H100"] * 2),
    ]
    made = World(database_url, tmp_path, agents)
    await made.open()
    await made.watch.step()
    yield made
    await made.crash()


async def test_the_default_group_has_all_nodes_and_stays(cluster: World) -> None:
    admin = await cluster.caller()
    [group] = await cluster.services.groups.list(admin)
    assert (group.name, group.nodes) == ("default", ["gpu-01", "gpu-02", "gpu-03"])
    with pytest.raises(Conflict, match="stays"):
        await cluster.services.groups.delete(admin, "default")


async def test_a_node_moves_and_takes_its_sessions_along(cluster: World) -> None:
    admin, services = await cluster.caller(), cluster.services
    await services.groups.put(admin, "big", GroupPolicy(queue="fifo"))
    moved = await services.nodes.update(admin, "gpu-03", NodeUpdate(resource_group="big"))
    assert moved.resource_group == "big"
    assert (await services.groups.get(admin, "big")).nodes == ["gpu-03"]
    waiting = await cluster.run(admin, resource_group="big", slots={"cuda.device": 2})
    assert (await services.groups.get(admin, "big")).pending == 1
    with pytest.raises(Conflict, match=r"still has nodes \(gpu-03\).*madang node set gpu-03 --group default"):
        await services.groups.delete(admin, "big")
    await services.nodes.update(admin, "gpu-03", NodeUpdate(resource_group="default"))
    with pytest.raises(Conflict, match=r"Sessions wait or run in the group 'big' \(1\)"):
        await services.groups.delete(admin, "big")
    await services.sessions.stop(admin, waiting.id)
    await services.groups.delete(admin, "big")
    with pytest.raises(NotFound, match="Known are: default"):
        await services.groups.get(admin, "big")
    with pytest.raises(InvalidInput, match="no resource group 'big'"):
        await cluster.run(admin, resource_group="big")


async def test_only_administrators_change_things(cluster: World) -> None:
    user, services = await cluster.caller("kim", "user"), cluster.services
    assert [group.name for group in await services.groups.list(user)] == ["default"]
    for attempt in (
        services.groups.put(user, "mine", GroupPolicy()),
        services.groups.delete(user, "default"),
        services.nodes.update(user, "gpu-01", NodeUpdate(resource_group="default")),
        services.reservations.create(user, _weekly()),
        services.reservations.delete(user, "class"),
    ):
        with pytest.raises(Forbidden, match="Who may: administrator"):
            await attempt


async def test_unknown_nodes_and_groups_are_told(cluster: World) -> None:
    admin = await cluster.caller()
    with pytest.raises(NotFound, match="no node 'gpu-99'"):
        await cluster.services.nodes.update(admin, "gpu-99", NodeUpdate(resource_group="default"))
    with pytest.raises(NotFound, match="no resource group 'nope'"):
        await cluster.services.nodes.update(admin, "gpu-01", NodeUpdate(resource_group="nope"))


async def test_a_calendar_with_a_gap_is_refused_and_changes_nothing(cluster: World) -> None:
    admin, groups = await cluster.caller(), cluster.services.groups
    window = CalendarWindow.model_validate({"name": "work", "days": WORKDAYS})
    with pytest.raises(InvalidInput, match="No window covers Saturday 00:00 to Sunday 24:00"):
        await groups.put(admin, "default", GroupPolicy(calendar=[window]))
    with pytest.raises(InvalidInput, match="not a time zone"):
        await groups.put(admin, "default", GroupPolicy(timezone="Asia/Soul"))
    assert (await groups.get(admin, "default")).policy == GroupPolicy()
    rest = CalendarWindow.model_validate({"name": "rest", "days": ["sat", "sun"]})
    kept = await groups.put(admin, "default", GroupPolicy(calendar=[window, rest], timezone="Asia/Seoul"))
    assert (await groups.get(admin, "default")).policy == kept.policy


def _weekly(**fields: object) -> ReservationCreate:
    given = {"name": "class", "slots": {"cuda.device": 8}, "models": ["A100"], "users": ["kim"]}
    times = {"days": ["tue"], "start": "09:00", "end": "12:00", "timezone": "Asia/Seoul"}
    return ReservationCreate.model_validate({**given, **times, **fields})


async def _reserve(cluster: World, **fields: object) -> Reservation:
    return await cluster.services.reservations.create(await cluster.caller(), _weekly(**fields))


async def test_a_class_every_tuesday_is_seen_by_those_it_is_for(cluster: World) -> None:
    kim, lee = await cluster.caller("kim", "user"), await cluster.caller("lee", "user")
    made = await _reserve(cluster)
    assert made.next_start is not None
    assert made.next_end is not None
    assert made.next_end - made.next_start == timedelta(hours=3)
    assert made.next_start.astimezone(UTC).strftime("%a %H:%M") == "Tue 00:00"
    reservations = cluster.services.reservations
    assert [one.name for one in await reservations.list(kim)] == ["class"]
    assert (await reservations.get(kim, "class")).slots == {"cuda.device": 8}
    assert await reservations.list(lee) == []
    with pytest.raises(NotFound):
        await reservations.get(lee, "class")


async def test_only_those_it_is_for_may_use_its_room(cluster: World) -> None:
    kim, lee = await cluster.caller("kim", "user"), await cluster.caller("lee", "user")
    await _reserve(cluster)
    ask = {"slots": {"cuda.device": 1}, "reservation": "class"}
    assert (await cluster.run(kim, **ask)).reservation == "class"
    with pytest.raises(NotFound, match="no reservation 'class' for you"):
        await cluster.run(lee, **ask)
    with pytest.raises(NotFound, match="no reservation 'nope' for you"):
        await cluster.run(lee, slots={"cuda.device": 1}, reservation="nope")
    admin = await cluster.caller()
    await cluster.services.groups.put(admin, "big", GroupPolicy())
    await cluster.services.nodes.update(admin, "gpu-03", NodeUpdate(resource_group="big"))
    with pytest.raises(InvalidInput, match="Ask for --group default"):
        await cluster.run(kim, slots={"cuda.device": 1}, reservation="class", resource_group="big")


async def test_reservations_that_together_are_too_much_are_refused(cluster: World) -> None:
    await cluster.caller("kim", "user")
    await _reserve(cluster)
    with pytest.raises(Conflict, match=r"'class' keeps 8 GPUs of model A100\. With a GPU of model A100 for 'more'"):
        await _reserve(cluster, name="more", slots={"cuda.device": 1}, start="11:00", end="13:00")
    with pytest.raises(Conflict, match="is more than group 'default' has"):
        await _reserve(cluster, name="any", slots={"cuda.device": 3}, models=[])
    await _reserve(cluster, name="h100", slots={"cuda.device": 2}, models=[])  # the two H100 are left
    await _reserve(cluster, name="later", start="12:00", end="13:00")
    await _reserve(cluster, name="other-day", days=["wed", "thu"])
    # The same hours in another zone are other hours.
    await _reserve(cluster, name="berlin", timezone="Europe/Berlin")
    start = datetime(2027, 3, 2, 1, tzinfo=UTC)  # a Tuesday, 10:00 in Seoul
    once: dict[str, object] = {"days": [], "start": None, "end": None, "starts_at": start}
    with pytest.raises(Conflict, match="At 2027-03-02 10:00 'class' keeps"):
        await _reserve(cluster, name="once", **once, ends_at=start + timedelta(hours=1))


@pytest.mark.parametrize(
    ("fields", "kind", "says"),
    [
        ({"slots": {"cuda.device": 9}}, ImpossibleRequest, "has less than 9 GPUs of model A100 in all: 8 of them"),
        ({"slots": {"cpu": "99"}, "models": []}, ImpossibleRequest, "has less than cpu 99 in all: cpu 12"),
        ({"slots": {"cuda.shares": "0.5"}}, InvalidSlots, "whole devices"),
        ({"slots": {"cuda.device": 0}, "models": []}, InvalidSlots, "keeps no room"),
        ({"users": ["nobody"]}, NotFound, "no user 'nobody'"),
        ({"resource_group": "nope"}, NotFound, "no resource group 'nope'"),
        ({"days": [], "start": None, "end": None}, InvalidInput, "Say either when"),
        ({"days": []}, InvalidInput, "needs days, start and end"),
        ({"starts_at": datetime(2027, 1, 1, tzinfo=UTC)}, InvalidInput, "Say either when"),
        ({"timezone": "Mars/Base"}, InvalidInput, "not a time zone"),
    ],
)
async def test_reservations_that_make_no_sense_are_refused(
    cluster: World, fields: dict[str, object], kind: type[MadangError], says: str
) -> None:
    await cluster.caller("kim", "user")
    with pytest.raises(kind, match=says):
        await _reserve(cluster, **fields)


async def test_a_reservation_that_is_once_is_over_afterwards(cluster: World) -> None:
    kim = await cluster.caller("kim", "user")
    now = cluster.clock.now()
    once: dict[str, object] = {"days": [], "start": None, "end": None}
    for starts, ends, says in [
        (timedelta(hours=2), timedelta(hours=1), "ends before it begins"),
        (timedelta(hours=-2), timedelta(hours=-1), "is over already"),
        (timedelta(days=4000), timedelta(days=4001), "Is the year right"),
    ]:
        with pytest.raises(InvalidInput, match=says):
            await _reserve(cluster, **once, starts_at=now + starts, ends_at=now + ends)
    made = await _reserve(cluster, **once, starts_at=now, ends_at=now + timedelta(hours=1))
    assert made.next_end == made.ends_at
    cluster.clock.ahead = timedelta(hours=2)
    assert (await cluster.services.reservations.get(kim, "class")).next_start is None
    with pytest.raises(InvalidInput, match="is over"):
        await cluster.run(kim, slots={"cuda.device": 1}, reservation="class")


async def test_a_name_is_used_once_and_free_again_when_it_is_deleted(cluster: World) -> None:
    await cluster.caller("kim", "user")
    admin = await cluster.caller()
    await _reserve(cluster)
    with pytest.raises(NameInUse):
        await _reserve(cluster, days=["sun"])
    await cluster.services.reservations.delete(admin, "class")
    with pytest.raises(NotFound):
        await cluster.services.reservations.delete(admin, "class")
    await _reserve(cluster)
