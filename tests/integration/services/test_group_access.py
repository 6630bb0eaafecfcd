"""Resource groups that are open to some only: others do not see them, and start nothing there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from madang.db.rows import AuditFilter
from madang.domain.errors import Forbidden, InvalidInput, MadangError, NotFound
from madang.domain.people import Caller
from madang.domain.session import SessionState
from madang.domain.why import Why, WhyCode, sentence
from madang.schemas.api import GroupAccess, GroupPolicy, NodeUpdate, SessionCreate
from madang.schemas.people import DomainCreate, MemberUpdate, ProjectCreate, UserCreate
from tests.fakes import FakeAgent
from tests.world import World, eventually

SMALL = {"cpu": "0.1", "mem": "64m"}


@pytest.fixture
async def cluster(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """Two nodes whose loops run; the second one, with a GPU, is in the group `lab`."""
    made = World(database_url, tmp_path, [FakeAgent("common"), FakeAgent("special", gpus=["A100"])])
    await made.start()
    admin = await made.caller()
    await made.services.groups.put(admin, "lab", GroupPolicy())
    await made.services.nodes.update(admin, "special", NodeUpdate(resource_group="lab"))
    yield made
    await made.crash()


async def _allow(world: World, admin: Caller, **names: list[str]) -> None:
    await world.services.groups.put(admin, "lab", GroupPolicy(), GroupAccess.model_validate(names))


async def _told(world: World, caller: Caller, ref: str, text: str) -> None:
    async def told() -> bool:
        return text in (await world.services.sessions.get(caller, ref)).reason

    await eventually(told)


async def test_who_may_not_use_a_group_does_not_see_it(cluster: World) -> None:
    services, admin = cluster.services, await cluster.caller()
    ann, bob = await cluster.caller("ann", "user"), await cluster.caller("bob", "user")
    await _allow(cluster, admin, users=["ann"])
    assert [group.name for group in await services.groups.list(ann)] == ["default", "lab"]
    assert [group.name for group in await services.groups.list(bob)] == ["default"]
    assert [node.name for node in await services.nodes.list(bob)] == ["common"]
    for attempt in (
        services.groups.get(bob, "lab"),
        services.nodes.get(bob, "special"),
        services.presets.list(bob, "lab"),
    ):
        with pytest.raises(NotFound) as caught:
            await attempt
        assert "special" not in caught.value.message.partition("Known")[2]
    with pytest.raises(InvalidInput, match=r"no resource group 'lab'\. Known are: default\."):
        await cluster.run(bob, resource_group="lab")
    with pytest.raises(InvalidInput, match="Known are: default"):
        await services.sessions.plan(bob, SessionCreate(command=["x"], resource_group="lab"))
    assert (await services.sessions.plan(ann, SessionCreate(command=["x"], slots=SMALL, resource_group="lab"))).starts
    assert [group.name for group in await services.groups.list(admin)] == ["default", "lab"]


async def test_advice_names_no_group_that_is_not_open(cluster: World) -> None:
    admin, bob = await cluster.caller(), await cluster.caller("bob", "user")
    request = SessionCreate(command=["x"], slots={"cuda.device": 1})
    with pytest.raises(MadangError, match="Group 'lab' could hold it"):
        await cluster.services.sessions.plan(bob, request)
    await _allow(cluster, admin, users=["admin"])
    with pytest.raises(MadangError) as caught:
        await cluster.services.sessions.plan(bob, request)
    assert "lab" not in caught.value.message


async def test_who_loses_access_waits_with_a_reason_and_starts_when_it_is_back(cluster: World) -> None:
    services, admin, ann = cluster.services, await cluster.caller(), await cluster.caller("ann", "user")
    running = await cluster.run(ann, resource_group="lab", slots={"cpu": "3", "mem": "64m"})
    await cluster.until(ann, running.id, SessionState.RUNNING)
    waiting = await cluster.run(ann, resource_group="lab", slots={"cpu": "3", "mem": "64m"})
    await _told(cluster, ann, waiting.id, "needs 3 cpu")
    await _allow(cluster, admin, users=["admin"])
    await _told(cluster, ann, waiting.id, "group lab is not open to user ann in project default")
    told = (await services.sessions.get(ann, waiting.id)).waiting
    assert told is not None
    assert "열려 있지" in sentence(Why(WhyCode(told.code), told.values), "ko")
    assert (await services.sessions.get(ann, running.id)).state is SessionState.RUNNING
    others = await cluster.run(admin, resource_group="lab", slots=SMALL)
    await cluster.until(admin, others.id, SessionState.RUNNING)  # nobody is held up by it
    await services.sessions.stop(ann, running.id, 0)
    await cluster.until(ann, running.id, SessionState.STOPPED)
    await _told(cluster, ann, waiting.id, "is not open")
    await services.groups.put(admin, "lab", GroupPolicy(), "everybody")
    await cluster.until(ann, waiting.id, SessionState.RUNNING)


async def test_a_group_is_open_to_projects_and_to_the_projects_of_domains(cluster: World) -> None:
    services, admin = cluster.services, await cluster.caller()
    await services.domains.create(admin, DomainCreate(name="snu"))
    await services.users.create(admin, UserCreate(name="park", domain="snu"))
    await services.projects.create(admin, "default", ProjectCreate(name="vision"))
    await cluster.caller("ann", "user")
    await services.projects.set_member(admin, "default", "vision", "ann", MemberUpdate())
    ann, park = await cluster.caller("ann", "user"), await cluster.caller("park", "user")
    await _allow(cluster, admin, projects=["vision"], domains=["snu"])
    assert (await services.groups.get(ann, "lab")).access is None  # that is for administrators to know
    made = await cluster.run(ann, project="vision", resource_group="lab")
    await cluster.until(ann, made.id, SessionState.RUNNING)
    with pytest.raises(InvalidInput, match="for project 'default'"):
        await cluster.run(ann, project="default", resource_group="lab")
    theirs = await cluster.run(park, resource_group="lab")
    await cluster.until(park, theirs.id, SessionState.RUNNING)


async def test_a_new_object_of_an_old_name_inherits_nothing(cluster: World) -> None:
    services, admin = cluster.services, await cluster.caller()
    await services.users.create(admin, UserCreate(name="ann"))
    await services.projects.create(admin, "default", ProjectCreate(name="vision"))
    await _allow(cluster, admin, users=["ann"], projects=["vision"])
    await services.users.delete(admin, "ann")
    await services.users.create(admin, UserCreate(name="ann"))
    await services.projects.delete(admin, "default", "vision")
    await services.projects.create(admin, "default", ProjectCreate(name="vision", owner="ann"))
    ann = await cluster.caller("ann", "user")
    with pytest.raises(InvalidInput):
        await cluster.run(ann, project="vision", resource_group="lab")
    # Nobody is left, which is not everybody.
    assert (await services.groups.get(admin, "lab")).access == GroupAccess()


async def test_who_does_not_exist_is_refused_and_other_changes_leave_access_alone(cluster: World) -> None:
    services, admin, ann = cluster.services, await cluster.caller(), await cluster.caller("ann", "user")
    with pytest.raises(NotFound, match="no domain 'kaist', no project 'kaist/x', no user 'nobody'"):
        await _allow(cluster, admin, users=["ann", "nobody"], projects=["kaist/x"], domains=["kaist"])
    assert (await services.groups.get(admin, "lab")).access == "everybody"
    await _allow(cluster, admin, users=["ann"])
    await services.groups.put(admin, "lab", GroupPolicy(queue="fifo"))
    assert (await services.groups.get(admin, "lab")).access == GroupAccess(users=["ann"])
    with pytest.raises(Forbidden):
        await services.groups.put(ann, "lab", GroupPolicy(), "everybody")
    [last, *_] = (await services.audit.list(admin, AuditFilter(action="group.set"))).items
    assert last.after == {"queue": "fifo"}


async def test_the_picture_of_the_leader_stays_true(cluster: World) -> None:
    admin, ann = await cluster.caller(), await cluster.caller("ann", "user")
    for _ in range(3):
        await cluster.run(ann, resource_group="lab", slots={"cpu": "3", "mem": "64m"})
    await _allow(cluster, admin, users=["admin"])
    other = await cluster.run(admin, resource_group="lab", slots=SMALL)
    await cluster.until(admin, other.id, SessionState.RUNNING)
    picture = cluster.schedule._picture
    assert picture is not None
    assert await cluster.schedule.verify(picture) is picture
