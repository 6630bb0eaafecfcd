"""Times and dependencies: not before, not longer than, not later than, and after others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from madang.db.engine import Transaction
from madang.db.repositories import groups
from madang.domain.calendar import DAYS
from madang.domain.session import SessionState
from madang.schemas.api import CalendarWindow, GroupPolicy, Session
from tests.world import World, eventually

ALL_ROOM = {"cpu": "4", "mem": "64m"}


def soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def _why(world: World, session: Session, code: str) -> Session:
    caller = await world.caller_of("admin")

    async def told() -> Session | None:
        found = await world.services.sessions.get(caller, session.id)
        return found if found.waiting is not None and found.waiting.code == code else None

    return await eventually(told)


async def test_a_session_starts_at_its_time_though_nothing_else_happens(world: World) -> None:
    caller = await world.caller()
    start = soon(1.5)
    made = await world.run(caller, start_at=start)
    waiting = await _why(world, made, "not_before")
    assert waiting.waiting is not None
    other = await world.run(caller)  # and keeps nobody from starting
    await world.until(caller, other.id, SessionState.RUNNING)
    started = await world.until(caller, made.id, SessionState.RUNNING)
    assert started.started_at is not None
    assert start <= started.started_at < start + timedelta(seconds=1.5)


async def test_a_session_ends_when_its_time_is_over(world: World) -> None:
    caller = await world.caller()
    made = await world.run(caller, max_seconds=1)
    unlimited = await world.run(caller)
    ended = await world.until(caller, made.id, SessionState.FAILED)
    assert ended.reason == "passed its maximum run time of 1s"
    assert ended.exit is not None
    assert ended.started_at is not None
    assert ended.ended_at is not None
    assert (ended.ended_at - ended.started_at).total_seconds() >= 1
    assert (await world.services.sessions.get(caller, unlimited.id)).state is SessionState.RUNNING


async def test_time_that_ran_out_while_no_manager_ran_is_noticed(world: World) -> None:
    caller = await world.caller()
    made = await world.run(caller, max_seconds=3600)
    await world.until(caller, made.id, SessionState.RUNNING)
    await world.crash()
    world.clock.ahead = timedelta(hours=2)
    await world.start()
    ended = await world.until(caller, made.id, SessionState.FAILED)
    assert ended.reason == "passed its maximum run time of 1h"


async def test_a_session_that_missed_its_deadline_has_failed(world: World) -> None:
    caller = await world.caller()
    first = await world.run(caller, slots=ALL_ROOM)
    await world.until(caller, first.id, SessionState.RUNNING)
    made = await world.run(caller, deadline=soon(1))
    ended = await world.until(caller, made.id, SessionState.FAILED)
    assert "deadline" in ended.reason
    assert ended.started_at is None


async def test_what_comes_after_others_starts_when_they_have_ended(world: World) -> None:
    caller = await world.caller()
    first = await world.run(caller, name="first")
    second = await world.run(caller, name="second")
    third = await world.run(caller, after=["first"], after_ok=["second"])
    waiting = await _why(world, third, "after")
    assert "first" in waiting.reason or "second" in waiting.reason
    for made in (first, second):
        await world.until(caller, made.id, SessionState.RUNNING)
    world.agent.finish(await world.container_of(first.id), code=1)
    await world.until(caller, first.id, SessionState.FAILED)
    assert (await world.services.sessions.get(caller, third.id)).state is SessionState.PENDING
    world.agent.finish(await world.container_of(second.id))
    await world.until(caller, third.id, SessionState.RUNNING)


async def test_what_can_never_start_is_cancelled_with_the_reason_and_so_is_what_follows_it(world: World) -> None:
    caller = await world.caller()
    first = await world.run(caller, name="first")
    second = await world.run(caller, name="second", after_ok=["first"])
    third = await world.run(caller, after_ok=["second"])
    await world.until(caller, first.id, SessionState.RUNNING)
    world.agent.finish(await world.container_of(first.id), code=2)
    ended = await world.until(caller, second.id, SessionState.CANCELLED)
    assert "first" in ended.reason
    assert "failed" in ended.reason
    assert "second" in (await world.until(caller, third.id, SessionState.CANCELLED)).reason


async def test_a_deleted_session_is_kept_for_those_who_wait_for_it(world: World) -> None:
    caller = await world.caller()
    first = await world.run(caller, "exit", "0", name="first")
    await world.until(caller, first.id, SessionState.SUCCEEDED)
    blocking = await world.run(caller, slots=ALL_ROOM)
    await world.until(caller, blocking.id, SessionState.RUNNING)
    second = await world.run(caller, after_ok=["first"])
    await world.services.sessions.delete(caller, first.id)
    await world.reap.step()
    await world.crash()
    await world.start()
    await world.services.sessions.stop(caller, blocking.id)
    await world.until(caller, second.id, SessionState.RUNNING)


async def test_the_calendar_of_a_group_decides_and_a_new_one_counts_at_once(world: World) -> None:
    caller = await world.caller()
    today = datetime.now(UTC).weekday()
    now = {DAYS[(today + days) % 7] for days in (-1, 0, 1)}  # whatever happens at midnight
    closed = [
        CalendarWindow(name="classes", days=sorted(now), kinds=["interactive"]),
        CalendarWindow(name="free", days=sorted(set(DAYS) - now)),
    ]

    async def save(policy: GroupPolicy) -> None:
        async def write(transaction: Transaction) -> None:
            await groups.save(transaction, "default", policy, datetime.now(UTC))

        await world.database.transaction(write, "test")

    await save(GroupPolicy(calendar=closed))
    made = await world.run(caller)
    assert "classes" in (await _why(world, made, "calendar")).reason
    await save(GroupPolicy())
    await world.until(caller, made.id, SessionState.RUNNING)
