"""A manager that dies at any point, and nodes that misbehave: after a restart everything adds up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from madang.domain.errors import MadangError, NotFound, StaleEpoch, StorageFull, Unavailable
from madang.domain.ids import new_id
from madang.domain.session import ENDED, ExitReason, SessionState
from madang.schemas.agent import ContainerSpec, Phase
from tests.world import World, eventually


async def test_sessions_outlive_a_manager_that_is_killed(world: World) -> None:
    caller = await world.caller()
    made = [await world.run(caller) for _ in range(10)]
    for one in made:
        await world.until(caller, one.id, SessionState.RUNNING)
    await world.crash()
    # Meanwhile some end.
    for number, container in enumerate(sorted(world.agent.held)[:5]):
        world.agent.finish(container, code=number)
    await world.start()
    codes = []
    for one in made:
        found = await world.until(caller, one.id, SessionState.RUNNING, SessionState.SUCCEEDED, SessionState.FAILED)
        if found.state in ENDED:
            assert found.exit is not None
            codes.append(found.exit.code)
    assert sorted(code for code in codes if code is not None) == [0, 1, 2, 3, 4]
    assert (await world.used())["node1"]["cpu"] == 500
    assert all(count == 1 for count in world.agent.started.values())


async def test_a_running_container_that_the_node_forgot_is_lost(world: World) -> None:
    caller = await world.caller()
    made = await world.run(caller)
    await world.until(caller, made.id, SessionState.RUNNING)
    await world.crash()
    world.agent.lose(await world.container_of(made.id))
    await world.start()
    ended = await world.until(caller, made.id, SessionState.LOST)
    assert ended.exit is not None
    assert ended.exit.reason is ExitReason.LOST


async def test_a_container_nobody_wants_is_removed(world: World) -> None:
    spec = ContainerSpec(
        container_id=new_id(),
        session_id=new_id(),
        epoch=1,
        hostname="stray",
        environment="python",
        command=["sleep"],
        cpu=1,
        mem=1,
    )
    await world.agent.create(spec)
    await world.agent.start(spec.container_id, 1)
    await world.crash()
    await world.start()
    assert world.agent.held == {}


async def test_a_node_that_does_not_answer_for_a_moment_is_tried_again(world: World) -> None:
    caller = await world.caller()
    world.agent.fail("create", Unavailable("Not now."))
    world.agent.fail("start", Unavailable("Not now."))
    made = await world.run(caller)
    await world.until(caller, made.id, SessionState.RUNNING)
    assert len(world.agent.started) == 1


async def test_a_launch_that_a_node_refuses_goes_back_into_the_queue_with_a_higher_epoch(world: World) -> None:
    caller = await world.caller()
    world.agent.fail("start", StaleEpoch("Fenced."))
    made = await world.run(caller)
    await world.until(caller, made.id, SessionState.RUNNING)
    [(_, epoch)] = world.agent.started
    assert epoch == 2
    kinds = [
        event.kind async for event in world.services.streams.events(caller, session=made.id, follow=False) if event
    ]
    assert kinds.count("session.scheduled") == 2


@pytest.mark.parametrize("error", [StorageFull("The node's disk is full."), NotFound("There is no such environment.")])
async def test_a_launch_that_is_impossible_fails_with_the_nodes_own_words(world: World, error: MadangError) -> None:
    caller = await world.caller()
    world.agent.fail("create", error)
    made = await world.run(caller)
    ended = await world.until(caller, made.id, SessionState.FAILED)
    assert ended.reason == error.message
    assert ended.exit is not None
    assert ended.exit.reason is ExitReason.LAUNCH
    assert await world.used() == {}
    # Nothing was made, and the output of what never ran is empty.
    assert [chunk async for chunk in world.services.streams.logs(caller, made.id)] == []


async def test_a_stop_while_the_container_is_not_made_yet_fences_the_launch(idle_world: World) -> None:
    world = idle_world
    caller = await world.caller()
    made = await world.run(caller)
    await world.schedule.step()
    stopped = await world.services.sessions.stop(caller, made.id)
    assert stopped.state is SessionState.TERMINATING
    await world.reap.step()
    ended = await world.services.sessions.get(caller, made.id)
    assert ended.state is SessionState.CANCELLED
    # A launch that was under way comes too late.
    [(container, epoch)] = world.agent.fence.items()
    spec = ContainerSpec(
        container_id=container,
        session_id=made.id,
        epoch=epoch,
        hostname="late",
        environment="python",
        command=["sleep"],
        cpu=1,
        mem=1,
    )
    with pytest.raises(StaleEpoch):
        await world.agent.create(spec)


async def test_files_of_ended_sessions_go_after_the_time_they_are_kept(idle_world: World) -> None:
    world = idle_world
    caller = await world.caller()
    made = await world.run(caller, "exit", "0")
    await world.schedule.step()
    await world.launch.step()
    await world.until(caller, made.id, SessionState.SUCCEEDED)
    await world.reap.step()
    assert [held.phase for held in world.agent.held.values()] == [Phase.ENDED]
    world.clock.ahead = timedelta(days=world.settings.keep_ended_days + 1)
    await world.reap.step()
    assert world.agent.held == {}
    assert (await world.services.sessions.get(caller, made.id)).state is SessionState.SUCCEEDED
    with pytest.raises(NotFound, match="no longer kept"):
        await world.services.sessions.list_files(caller, made.id)


async def test_unused_uploads_go_after_an_hour_and_used_ones_when_unpacked(idle_world: World) -> None:
    world = idle_world
    caller = await world.caller()

    async def upload() -> str:
        async def blocks() -> AsyncIterator[bytes]:
            yield b"\0" * 1024

        return (await world.services.uploads.accept(caller, blocks())).id

    unused, used = await upload(), await upload()
    await world.run(caller, "exit", "0", upload=used)
    directory = world.settings.data_dir / "uploads"
    world.clock.ahead = timedelta(hours=2)
    await world.reap.step()
    assert {file.name for file in directory.iterdir()} == {used}
    assert unused != used
    await world.schedule.step()
    await world.launch.step()
    await eventually(lambda: _none_pending(world))
    world.reap._tidied = float("-inf")
    await world.reap.step()
    assert list(directory.iterdir()) == []


async def _none_pending(world: World) -> bool:
    caller = await world.caller_of("admin")
    return all(one.state in ENDED for one in (await world.services.sessions.list(caller)).items)


async def test_two_managers_never_give_the_same_room_twice(database_url: str, world: World) -> None:
    other = World(database_url, world.settings.data_dir, list(world.fabric.agents.values()))
    await other.start()
    try:
        caller = await world.caller()
        made = await asyncio.gather(
            *((world if number % 2 else other).run(caller, "exit", "0", slots={"cpu": "1"}) for number in range(24))
        )
        for one in made:
            await world.until(caller, one.id, SessionState.SUCCEEDED, seconds=20)
        assert all(count == 1 for count in world.agent.started.values())
        assert await world.used() == {}
    finally:
        await other.crash()
