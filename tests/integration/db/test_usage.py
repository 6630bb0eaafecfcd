"""Usage: what users took of a group counts half after every half-life, whoever writes it down, and when."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from madang.db.engine import Transaction
from madang.db.repositories import groups, usage
from madang.db.repositories.usage import Held
from madang.domain.session import SessionState
from madang.schemas.api import GroupPolicy
from tests.world import World

DAY = 86_400.0
NOW = datetime(2026, 11, 23, tzinfo=UTC)


async def _fold(world: World, *held: Held) -> None:
    async def work(transaction: Transaction) -> None:
        await usage.fold(transaction, held)

    await world.database.transaction(work, "test")


async def _usage(world: World) -> dict[str, dict[str, float]]:
    return {row.user: row.slots for row in await world.database.read(usage.every)}


def _held(user_id: str, seconds: float, until: datetime = NOW, **slots: int) -> Held:
    amounts = {name.replace("_", "."): amount for name, amount in slots.items()}
    return Held("default", user_id, amounts, until - timedelta(seconds=seconds), until)


async def test_what_was_used_counts_half_after_a_half_life(idle_world: World) -> None:
    ann = (await idle_world.caller("ann", "user")).user_id
    await _fold(idle_world, _held(ann, 100, cpu=2000, cuda_shares=500, cuda_device=1))
    first = (await _usage(idle_world))["ann"]
    assert first == {"cpu": pytest.approx(200_000, rel=1e-3), "cuda.shares": pytest.approx(50_000, rel=1e-3)}
    await _fold(idle_world, _held(ann, 10, NOW + timedelta(days=7), cpu=1000, mem=1))
    second = (await _usage(idle_world))["ann"]
    assert second["cpu"] == pytest.approx(110_000, rel=1e-3)
    assert second["cuda.shares"] == pytest.approx(25_000, rel=1e-3)


async def test_nothing_is_lost_when_many_write_at_once(idle_world: World) -> None:
    users = [(await idle_world.caller(name, "user")).user_id for name in ("ann", "bob", "eve")]
    await asyncio.gather(*(_fold(idle_world, *(_held(one, 10, cpu=1000) for one in users)) for _ in range(20)))
    for slots in (await _usage(idle_world)).values():
        assert slots["cpu"] == pytest.approx(200_000, rel=1e-3)


async def test_the_half_life_is_the_groups_own(idle_world: World) -> None:
    async def save(transaction: Transaction) -> None:
        await groups.save(transaction, "default", GroupPolicy(half_life_days=1), NOW)

    await idle_world.database.transaction(save, "test")
    ann = (await idle_world.caller("ann", "user")).user_id
    await _fold(idle_world, _held(ann, 100, cpu=1000))
    await _fold(idle_world, _held(ann, 100, NOW + timedelta(days=1), cpu=1000))
    assert (await _usage(idle_world))["ann"]["cpu"] == pytest.approx(150_000, rel=1e-2)


async def test_sessions_that_end_are_reckoned_and_deleting_them_changes_nothing(world: World) -> None:
    caller = await world.caller("ann", "user")
    made = await world.run(caller)
    await world.until(caller, made.id, SessionState.RUNNING)
    assert await _usage(world) == {}
    await world.services.sessions.stop(caller, made.id)
    await world.until(caller, made.id, SessionState.STOPPED)
    before = await _usage(world)
    assert before["ann"]["cpu"] > 0
    await world.services.sessions.delete(caller, made.id)
    await world.reap.step()
    assert await _usage(world) == before
