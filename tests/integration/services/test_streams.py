"""Streams: no event and no byte is skipped or sent twice, whatever happens at the same time."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from madang.db.engine import Transaction
from madang.domain.errors import InvalidInput, NotFound
from madang.domain.session import SessionState
from madang.schemas.api import Event
from tests.world import World


async def test_the_events_of_a_session_tell_its_life_and_then_end(world: World) -> None:
    caller = await world.caller()
    made = await world.run(caller, "exit", "0")
    kinds = [event.kind async for event in world.services.streams.events(caller, session=made.id) if event]
    assert kinds == [f"session.{state}" for state in ("pending", "scheduled", "preparing", "running", "succeeded")]
    # Once more behind each event: exactly the rest.
    events = [event async for event in world.services.streams.events(caller, session=made.id) if event]
    for number, event in enumerate(events):
        stream = world.services.streams.events(caller, session=made.id, after=event.id)
        assert [one.kind async for one in stream if one] == kinds[number + 1 :]


async def test_no_event_is_missed_while_transactions_commit_out_of_order(idle_world: World) -> None:
    caller = await idle_world.caller()
    dice = random.Random(7)
    written = 150

    async def write(number: int) -> None:
        async def work(transaction: Transaction) -> None:
            # The id is given here, the commit comes later: others overtake it.
            await transaction.connection.execute(text("SELECT pg_current_xact_id()"))
            await asyncio.sleep(dice.random() * 0.03)
            transaction.emit("test", datetime.now(UTC), {"number": number})

        await idle_world.database.transaction(work, "test")

    async def read() -> list[int]:
        found: list[int] = []
        async for event in idle_world.services.streams.events(caller):
            if event is not None and event.kind == "test":
                found.append(int(event.data["number"] or 0))
                if len(found) == written:
                    return found
        return found

    readers = [asyncio.create_task(read()) for _ in range(3)]
    await asyncio.gather(*(write(number) for number in range(written)))
    results = await asyncio.wait_for(asyncio.gather(*readers), 20)
    assert sorted(results[0]) == list(range(written))
    assert results[0] == results[1] == results[2]


async def test_events_of_others_are_not_sent(idle_world: World) -> None:
    one, two = await idle_world.caller("one", "user"), await idle_world.caller("two", "user")
    made = await idle_world.run(one)
    streams = idle_world.services.streams
    own = ["token.created"]
    theirs = [event async for event in streams.events(two, follow=False)]
    assert [event.kind for event in theirs if isinstance(event, Event)] == own
    mine = [event async for event in streams.events(one, follow=False)]
    assert [event.kind for event in mine if isinstance(event, Event)] == [*own, "session.pending"]
    assert {event.session for event in mine if isinstance(event, Event)} == {None, made.id}
    with pytest.raises(NotFound):
        await anext(aiter(streams.events(two, session=made.id)))


async def test_a_malformed_event_id_is_refused(idle_world: World) -> None:
    caller = await idle_world.caller()
    for bad in ("x", "1", "1-", "-1-2", "1-2-3x", "9" * 60):
        with pytest.raises(InvalidInput):
            await anext(aiter(idle_world.services.streams.events(caller, after=bad)))


async def test_output_is_followed_live_and_ends_with_the_session(world: World) -> None:
    caller = await world.caller()
    made = await world.run(caller)

    async def follow(cursor: int = 0) -> bytes:
        stream = world.services.streams.logs(caller, made.id, cursor=cursor)
        return b"".join([chunk.data async for chunk in stream if chunk])

    reader = asyncio.create_task(follow())  # begins before the session runs
    await world.until(caller, made.id, SessionState.RUNNING)
    container = await world.container_of(made.id)
    for number in range(20):
        world.agent.say(container, f"line {number}\n".encode())
        await asyncio.sleep(0.002)
    world.agent.finish(container)
    whole = b"".join(f"line {number}\n".encode() for number in range(20))
    assert await asyncio.wait_for(reader, 10) == whole
    # The stream ends only when the session's own end is known, so whoever read it to the end finds the exit.
    assert (await world.services.sessions.get(caller, made.id)).state is SessionState.SUCCEEDED
    assert await follow(cursor=50) == whole[50:]


async def test_without_follow_the_output_so_far_is_given(world: World) -> None:
    caller = await world.caller()
    made = await world.run(caller)
    await world.until(caller, made.id, SessionState.RUNNING)
    world.agent.say(await world.container_of(made.id), b"so far")
    stream = world.services.streams.logs(caller, made.id, follow=False)
    assert [chunk.data async for chunk in stream if chunk] == [b"so far"]


async def test_a_session_that_never_ran_has_an_output_that_ends(idle_world: World) -> None:
    caller = await idle_world.caller()
    made = await idle_world.run(caller)
    stream = idle_world.services.streams.logs(caller, made.id)
    reader = asyncio.create_task(anext(aiter(stream), None))
    await idle_world.services.sessions.stop(caller, made.id)
    assert await asyncio.wait_for(reader, 5) is None
