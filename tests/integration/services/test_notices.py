"""Announcements and maintenance: everybody is told, nothing starts meanwhile, and it ends by itself."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from madang.domain.errors import Forbidden, InvalidInput, NotFound, UnderMaintenance
from madang.domain.people import Caller
from madang.domain.session import SessionState
from madang.domain.why import Why, WhyCode, sentence
from madang.schemas.api import SessionCreate
from madang.schemas.site import AnnouncementCreate, MaintenancePut
from tests.fakes import FakeAgent
from tests.world import World, eventually

BIG = {"cpu": "3", "mem": "64m"}


async def _told(world: World, caller: Caller, ref: str, text: str) -> None:
    async def told() -> bool:
        return text in (await world.services.sessions.get(caller, ref)).reason

    await eventually(told)


async def _maintain(world: World, caller: Caller, **fields: object) -> None:
    await world.services.notices.maintain(caller, MaintenancePut.model_validate({"on": True, **fields}))


async def test_during_maintenance_nothing_is_accepted_or_started_and_what_runs_goes_on(world: World) -> None:
    admin, ann = await world.caller(), await world.caller("ann", "user")
    running = await world.run(ann, slots=BIG)
    await world.until(ann, running.id, SessionState.RUNNING)
    waiting = await world.run(ann, slots=BIG)
    chained = await world.run(ann, after_ok=[running.id], slots=BIG)
    await _maintain(world, admin, message={"en": "new disks", "ko": "디스크 교체"})
    for caller in (ann, admin):
        with pytest.raises(UnderMaintenance, match=r"under maintenance: new disks\. No sessions are accepted"):
            await world.run(caller)
        with pytest.raises(UnderMaintenance):
            await world.services.sessions.plan(caller, SessionCreate(command=["x"]))
    await _told(world, ann, waiting.id, "no session starts during the maintenance: new disks")
    await _told(world, ann, chained.id, "during the maintenance")
    told = (await world.services.sessions.get(ann, waiting.id)).waiting
    assert told is not None
    assert (
        sentence(Why(WhyCode(told.code), told.values), "ko") == "점검 중이라 새로 시작하는 세션이 없습니다: 디스크 교체"
    )
    assert (await world.services.sessions.get(ann, running.id)).state is SessionState.RUNNING
    await world.services.sessions.stop(ann, running.id, 0)
    await world.until(ann, running.id, SessionState.STOPPED)
    await world.until(ann, chained.id, SessionState.CANCELLED)  # what it needed has failed, maintenance or not
    assert (await world.services.sessions.get(ann, waiting.id)).state is SessionState.PENDING
    await world.services.notices.maintain(admin, MaintenancePut(on=False))
    await world.until(ann, waiting.id, SessionState.RUNNING)
    await world.run(ann)


async def test_maintenance_ends_by_itself(world: World) -> None:
    admin = await world.caller()
    first = await world.run(admin, slots=BIG)
    await world.until(admin, first.id, SessionState.RUNNING)
    waiting = await world.run(admin, slots=BIG)
    await _maintain(world, admin, until=world.clock.now() + timedelta(seconds=1.5))
    await _told(world, admin, waiting.id, "during the maintenance until")
    await world.services.sessions.stop(admin, first.id, 0)
    await world.until(admin, waiting.id, SessionState.RUNNING)
    assert not (await world.services.notices.state()).on
    await world.run(admin)
    with pytest.raises(InvalidInput, match="would be over already"):
        await _maintain(world, admin, until=world.clock.now())


async def test_maintenance_survives_a_restart_and_is_known_to_every_manager(
    world: World, database_url: str, tmp_path: Path
) -> None:
    other = World(database_url, tmp_path, [FakeAgent()])
    await other.open()
    ann = await world.caller("ann", "user")
    assert not (await other.services.notices.state()).on
    await _maintain(world, await world.caller(), message={"en": "moving"})

    async def known() -> bool:
        return (await other.services.notices.state()).on

    await eventually(known, 3)
    with pytest.raises(UnderMaintenance):
        await other.run(ann)
    await other.crash()
    await world.crash()
    await world.start()
    with pytest.raises(UnderMaintenance, match="moving"):
        await world.run(ann)


async def test_what_was_accepted_before_is_answered_again(idle_world: World) -> None:
    admin = await idle_world.caller()
    request = SessionCreate(command=["x"])
    made = await idle_world.services.sessions.create(admin, request, "key")
    await _maintain(idle_world, admin)
    assert (await idle_world.services.sessions.create(admin, request, "key")).id == made.id


async def test_announcements_are_for_their_time_and_only_administrators_make_them(idle_world: World) -> None:
    notices, admin = idle_world.services.notices, await idle_world.caller()
    ann = await idle_world.caller("ann", "user")
    now = idle_world.clock.now()
    said = await notices.create(admin, AnnouncementCreate(message={"en": "hello"}, until=now + timedelta(hours=1)))
    later = await notices.create(admin, AnnouncementCreate(message={"ko": "나중"}, since=now + timedelta(hours=2)))
    assert [one.id for one in await notices.list(ann)] == [said.id]
    assert await notices.header() == said.id
    assert {one.id for one in await notices.list(admin, everything=True)} == {said.id, later.id}
    idle_world.clock.ahead = timedelta(hours=3)
    assert [one.message for one in await notices.list(ann)] == [{"ko": "나중"}]
    assert await notices.header() == later.id
    await notices.change(admin, later.id, AnnouncementCreate(message={"en": "now"}, level="warning"))
    assert [(one.message, one.since) for one in await notices.list(ann)] == [({"en": "now"}, later.since)]
    await notices.delete(admin, later.id)
    assert await notices.header() == ""
    for attempt in (
        notices.list(ann, everything=True),
        notices.create(ann, AnnouncementCreate(message={"en": "x"})),
        notices.delete(ann, said.id),
        notices.maintain(ann, MaintenancePut(on=True)),
    ):
        with pytest.raises(Forbidden):
            await attempt
    with pytest.raises(NotFound):
        await notices.delete(admin, later.id)
    with pytest.raises(InvalidInput, match="over before anybody reads it"):
        await notices.create(admin, AnnouncementCreate(message={"en": "x"}, until=now))
    actions = [one.action for one in (await idle_world.services.audit.list(admin)).items]
    assert actions[:2] == ["announcement.delete", "announcement.set"]


async def test_everybody_hears_of_them_on_the_stream_of_events(idle_world: World) -> None:
    notices, admin = idle_world.services.notices, await idle_world.caller()
    ann = await idle_world.caller("ann", "user")
    await idle_world.run(admin)  # which is nothing for her
    said = await notices.create(admin, AnnouncementCreate(message={"en": "hello"}))
    await _maintain(idle_world, admin)
    heard = [event async for event in idle_world.services.streams.events(ann, follow=False)]
    told = [one for one in heard if one is not None and one.session is None and "token" not in one.kind]
    assert [(one.kind, one.data.get("announcement")) for one in told] == [
        ("announcement.changed", said.id),
        ("maintenance.changed", None),
    ]
