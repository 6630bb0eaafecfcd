"""Giving way: batch makes room for interactive sessions where the group wants it, and comes back into the queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from madang.db.engine import Transaction
from madang.db.repositories import groups
from madang.domain.people import Caller
from madang.domain.session import SessionState
from madang.schemas.api import GroupPolicy, Session
from tests.world import World, eventually

ALL_ROOM = {"cpu": "4", "mem": "64m"}


@pytest.fixture
async def sharing(world: World) -> AsyncIterator[World]:
    """A group in which batch gives way."""

    async def save(transaction: Transaction) -> None:
        policy = GroupPolicy(preemption=True, preemption_grace_seconds=60)
        await groups.save(transaction, "default", policy, datetime.now(UTC))

    await world.database.transaction(save, "test")
    yield world


async def _batch(world: World, caller: Caller, **fields: object) -> Session:
    made = await world.run(caller, **{"name": "train", "slots": ALL_ROOM, **fields})
    return await world.until(caller, made.id, SessionState.RUNNING)


async def _interactive(world: World, caller: Caller) -> Session:
    return await world.run(caller, kind="interactive", name="notebook", slots={"cpu": "1", "mem": "64m"})


async def test_batch_gives_way_with_grace_and_comes_back(sharing: World) -> None:
    world, caller = sharing, await sharing.caller()
    batch = await _batch(world, caller)
    first_container = await world.container_of(batch.id)
    urgent = await _interactive(world, caller)
    await world.until(caller, urgent.id, SessionState.RUNNING)
    back = await world.until(caller, batch.id, SessionState.PENDING)
    assert back.requeues == 1
    assert back.started_at is None
    assert back.exit is None
    assert (await world.used())["node1"]["cpu"] == 1000
    kinds = [
        (event.kind, event.data["reason"])
        async for event in world.services.streams.events(caller, session=batch.id, follow=False)
        if event
    ]
    assert ("session.terminating", "gives way to notebook") in kinds
    assert ("session.pending", "gave way to notebook") in kinds
    await world.services.sessions.stop(caller, urgent.id)
    await world.until(caller, batch.id, SessionState.RUNNING)
    assert world.agent.started[first_container, 1] == 1
    assert world.agent.started[first_container, 2] == 1
    world.agent.finish(await world.container_of(batch.id))
    ended = await world.until(caller, batch.id, SessionState.SUCCEEDED)
    assert ended.requeues == 1


async def test_the_victim_is_asked_first_and_has_the_grace_time_of_the_group(sharing: World) -> None:
    world, caller = sharing, await sharing.caller()
    world.agent.stubborn = True
    batch = await _batch(world, caller)
    await _interactive(world, caller)
    await world.until(caller, batch.id, SessionState.TERMINATING)

    async def asked() -> list[float]:
        return world.agent.held[await world.container_of(batch.id)].stops

    assert await eventually(asked) == [60]


async def test_a_stop_that_somebody_asks_for_meanwhile_wins(sharing: World) -> None:
    world, caller = sharing, await sharing.caller()
    world.agent.stubborn = True
    batch = await _batch(world, caller)
    urgent = await _interactive(world, caller)
    await world.until(caller, batch.id, SessionState.TERMINATING)
    await world.services.sessions.stop(caller, batch.id, 0)
    ended = await world.until(caller, batch.id, SessionState.STOPPED)
    assert (ended.reason, ended.requeues) == ("stopped on request", 0)
    await world.until(caller, urgent.id, SessionState.RUNNING)


async def test_who_says_no_is_left_alone(sharing: World) -> None:
    world, caller = sharing, await sharing.caller()
    batch = await _batch(world, caller, preemptible=False)
    urgent = await _interactive(world, caller)

    async def explained() -> bool:
        return (await world.services.sessions.get(caller, urgent.id)).waiting is not None

    await eventually(explained)
    assert (await world.services.sessions.get(caller, batch.id)).state is SessionState.RUNNING


async def test_a_manager_that_dies_while_somebody_gives_way_changes_nothing(sharing: World) -> None:
    world, caller = sharing, await sharing.caller()
    world.agent.stubborn = True
    batch = await _batch(world, caller)
    urgent = await _interactive(world, caller)
    await world.until(caller, batch.id, SessionState.TERMINATING)
    await world.crash()
    world.agent.stubborn = False
    await world.start()
    await world.until(caller, urgent.id, SessionState.RUNNING)
    assert (await world.until(caller, batch.id, SessionState.PENDING)).requeues == 1
    assert all(count == 1 for count in world.agent.started.values())


async def test_the_upload_is_unpacked_again_for_the_next_launch(sharing: World) -> None:
    world, caller = sharing, await sharing.caller()

    async def blocks() -> AsyncIterator[bytes]:
        yield b"\0" * 1024

    upload = await world.services.uploads.accept(caller, blocks())
    batch = await _batch(world, caller, upload=upload.id)
    urgent = await _interactive(world, caller)
    await world.until(caller, urgent.id, SessionState.RUNNING)
    await world.services.sessions.stop(caller, urgent.id)
    await world.until(caller, batch.id, SessionState.RUNNING)
    container = world.agent.held[await world.container_of(batch.id)]
    assert container.spec.epoch == 2
    assert container.files["archive"] == b"\0" * 1024


async def test_who_follows_the_output_sees_that_of_the_next_launch_from_its_beginning(sharing: World) -> None:
    world, caller = sharing, await sharing.caller()
    batch = await _batch(world, caller)
    world.agent.say(await world.container_of(batch.id), b"a long first launch")
    seen: list[bytes] = []

    async def follow() -> None:
        async for chunk in world.services.streams.logs(caller, batch.id):
            if chunk is not None:
                seen.append(chunk.data)

    following = asyncio.create_task(follow())

    async def said(text: bytes) -> bool:
        return text in b"".join(seen)

    await eventually(lambda: said(b"first launch"))
    urgent = await _interactive(world, caller)
    await world.until(caller, urgent.id, SessionState.RUNNING)
    await world.services.sessions.stop(caller, urgent.id)
    await world.until(caller, batch.id, SessionState.RUNNING)
    container = await world.container_of(batch.id)
    world.agent.say(container, b"second")
    await eventually(lambda: said(b"second"))
    world.agent.finish(container)
    await asyncio.wait_for(following, 10)
    assert b"".join(seen) == b"a long first launchsecond"
