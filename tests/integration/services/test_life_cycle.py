"""From the wish of a user to the end of the session, over a real database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from madang.domain.errors import Conflict, NotFound
from madang.domain.session import ExitReason, SessionState
from tests.world import World, eventually


async def test_a_batch_session_runs_and_succeeds(world: World) -> None:
    caller = await world.caller()
    made = await world.run(caller, "exit", "0", name="first")
    assert made.state is SessionState.PENDING
    ended = await world.until(caller, made.id, SessionState.SUCCEEDED)
    assert ended.exit is not None
    assert (ended.exit.reason, ended.exit.code) == (ExitReason.EXITED, 0)
    assert ended.started_at is not None
    assert ended.ended_at is not None
    assert await world.used() == {}


async def test_the_exit_code_is_told(world: World) -> None:
    caller = await world.caller()
    made = await world.run(caller, "exit", "3")
    ended = await world.until(caller, made.id, SessionState.FAILED)
    assert ended.reason == "ended with exit code 3"


async def test_running_out_of_memory_is_told_as_such(world: World) -> None:
    caller = await world.caller()
    made = await world.run(caller)
    await world.until(caller, made.id, SessionState.RUNNING)
    world.agent.finish(await world.container_of(made.id), reason=ExitReason.OOM)
    ended = await world.until(caller, made.id, SessionState.FAILED)
    assert ended.exit is not None
    assert ended.exit.reason is ExitReason.OOM
    assert "more memory than its 64m" in ended.reason


async def test_a_running_session_holds_its_slots_and_gives_them_back(world: World) -> None:
    caller = await world.caller()
    made = await world.run(caller)
    await world.until(caller, made.id, SessionState.RUNNING)
    assert await world.used() == {"node1": {"cpu": 100, "mem": 64 << 20}}
    node = await world.services.nodes.get(caller, "node1")
    assert (node.used["cpu"], node.sessions) == (100, 1)
    await world.services.sessions.stop(caller, made.id)
    ended = await world.until(caller, made.id, SessionState.STOPPED)
    assert ended.reason == "stopped on request"
    assert await world.used() == {}


async def test_what_does_not_fit_waits_with_a_reason_and_then_runs(world: World) -> None:
    caller = await world.caller()
    first = await world.run(caller, slots={"cpu": "3", "mem": "1g"})
    await world.until(caller, first.id, SessionState.RUNNING)
    second = await world.run(caller, slots={"cpu": "2", "mem": "1g"})

    async def explained() -> str | None:
        reason = (await world.services.sessions.get(caller, second.id)).reason
        return reason if "needs" in reason else None

    reason = "needs 2 cpu; the best node of group default (node1) has 1 cpu free; position 1 of 1"
    assert await eventually(explained) == reason
    world.agent.finish(await world.container_of(first.id))
    await world.until(caller, second.id, SessionState.RUNNING)


async def test_a_session_that_waits_is_cancelled_at_once(world: World) -> None:
    caller = await world.caller()
    first = await world.run(caller, slots={"cpu": "4", "mem": "1g"})
    await world.until(caller, first.id, SessionState.RUNNING)
    second = await world.run(caller, slots={"cpu": "1", "mem": "1g"})
    stopped = await world.services.sessions.stop(caller, second.id)
    assert stopped.state is SessionState.CANCELLED
    assert stopped.node is None


async def test_a_session_that_is_being_prepared_can_be_stopped(world: World) -> None:
    caller = await world.caller()
    world.agent.may_start.clear()
    made = await world.run(caller)
    await world.until(caller, made.id, SessionState.PREPARING)
    await world.services.sessions.stop(caller, made.id)
    ended = await world.until(caller, made.id, SessionState.CANCELLED)
    world.agent.may_start.set()
    assert ended.reason == "stopped before it ran"
    assert world.agent.running() == []
    assert await world.used() == {}


async def test_stopping_twice_and_stopping_what_has_ended_is_no_error(world: World) -> None:
    caller = await world.caller()
    made = await world.run(caller)
    await world.until(caller, made.id, SessionState.RUNNING)
    world.agent.stubborn = True
    assert (await world.services.sessions.stop(caller, made.id, 60)).state is SessionState.TERMINATING
    # A second, impatient request is passed on.
    await world.services.sessions.stop(caller, made.id, 0)
    ended = await world.until(caller, made.id, SessionState.STOPPED)
    assert world.agent.held[await world.container_of(made.id)].stops == [60, 0]
    assert await world.services.sessions.stop(caller, made.id) == ended


async def test_an_interactive_session_without_a_command_idles(world: World) -> None:
    caller = await world.caller()
    made = await world.run(caller, command=[], kind="interactive")
    assert made.command == ["sleep", "infinity"]
    await world.until(caller, made.id, SessionState.RUNNING)


async def test_delete_forgets_the_session_and_what_it_left_on_the_node(world: World) -> None:
    caller = await world.caller()
    made = await world.run(caller)
    await world.until(caller, made.id, SessionState.RUNNING)
    with pytest.raises(Conflict, match="Stop it first"):
        await world.services.sessions.delete(caller, made.id)
    world.agent.finish(await world.container_of(made.id))
    await world.until(caller, made.id, SessionState.SUCCEEDED)
    await world.services.sessions.delete(caller, made.id)
    with pytest.raises(NotFound):
        await world.services.sessions.get(caller, made.id)

    async def removed() -> bool:
        return not world.agent.held

    await eventually(removed)


async def test_an_upload_arrives_in_the_work_directory(world: World) -> None:
    caller = await world.caller()
    archive = b"\0" * 1024

    async def blocks() -> AsyncIterator[bytes]:
        yield archive

    upload = await world.services.uploads.accept(caller, blocks())
    made = await world.run(caller, upload=upload.id)
    await world.until(caller, made.id, SessionState.RUNNING)
    assert world.agent.held[await world.container_of(made.id)].files["archive"] == archive


async def test_create_to_running_takes_little_beside_the_agent(world: World) -> None:
    caller = await world.caller()
    warm = await world.run(caller, "exit", "0")
    await world.until(caller, warm.id, SessionState.SUCCEEDED)
    for _ in range(10):
        began = time.monotonic()
        made = await world.run(caller)
        created = time.monotonic()
        while not any(container.spec.session_id == made.id for container in world.agent.held.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.0005)
        print(f"create {1000 * (created - began):.1f} ms, start {1000 * (time.monotonic() - created):.1f} ms later")
        await world.until(caller, made.id, SessionState.RUNNING)


async def test_a_hundred_at_once_are_all_accepted_and_run(world: World) -> None:
    caller = await world.caller()
    world.agent.slots = {"cpu": 400_000, "mem": 1 << 40}
    world.watch._compared.clear()
    await world.watch.step()
    began = time.monotonic()
    made = await asyncio.gather(*(world.run(caller, "exit", "0") for _ in range(100)))
    print(f"100 accepted in {time.monotonic() - began:.3f} s")
    for one in made:
        await world.until(caller, one.id, SessionState.SUCCEEDED, seconds=30)
    print(f"100 ended after {time.monotonic() - began:.3f} s")
    assert await world.used() == {}
    assert all(count == 1 for count in world.agent.started.values())
