"""The schedule loop: one leader at a time, a picture that is always true, and nothing given away twice."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from madang.db.repositories import containers, live
from madang.domain.errors import MadangError
from madang.domain.people import Caller
from madang.domain.session import ENDED, SessionState
from madang.loops.picture import Picture
from madang.scheduling.plan import Decision, plan
from madang.scheduling.policy import Policy
from madang.scheduling.snapshot import Snapshot
from madang.schemas.api import NodeUpdate, Session
from tests.fakes import FakeAgent
from tests.integration.loops.conftest import three_nodes
from tests.world import World, eventually

CUT_THE_LEADER = (
    "SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
    "WHERE l.locktype = 'advisory' AND d.datname = current_database()"
)


@pytest.fixture
async def two(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[World, World]]:
    """Two managers over one database and the same nodes."""
    agents = three_nodes()
    first, second = World(database_url, tmp_path, agents), World(database_url, tmp_path, agents)
    await first.start()
    await second.start()
    yield first, second
    await first.crash()
    await second.crash()


async def _is_true(world: World) -> None:
    """What the leader knows is what the database says."""

    async def same() -> bool:
        world.hub.wake(["session.pending"])  # not every event makes it look at once
        picture = world.schedule._picture
        if picture is None:
            return False
        fresh = await world.database.read(Picture.read)
        return picture.differences(fresh) == [] and picture.contradictions() == []

    await eventually(same)


async def test_one_manager_plans_and_another_goes_on_when_it_is_cut_off(
    two: tuple[World, World], database_url: str
) -> None:
    first, _ = two
    caller = await first.caller()
    connection = await asyncpg.connect(database_url)
    made: list[Session] = []
    cuts = 0

    async def somebody_leads() -> bool:
        return any(world.leadership.epoch is not None for world in two)

    for number in range(40):
        made.append(await two[number % 2].run(caller, "exit", "0", slots={"cpu": "1", "cuda.shares": "500m"}))
        if number % 8 == 7:
            await eventually(somebody_leads)
            cuts += await connection.fetchval(CUT_THE_LEADER)
    await connection.close()
    for one in made:
        await first.until(caller, one.id, SessionState.SUCCEEDED, seconds=30)
    assert cuts >= 3
    assert sum(world.leadership.epoch is not None for world in two) <= 1
    for agent in first.fabric.agents.values():
        assert all(count == 1 for count in agent.started.values())
    assert await first.used() == {}


async def test_another_manager_takes_over_within_a_second_or_so(two: tuple[World, World]) -> None:
    first, second = two
    leader, other = (first, second) if first.leadership.epoch is not None else (second, first)
    caller = await other.caller()
    await leader.crash()
    began = time.monotonic()
    made = await other.run(caller, "exit", "0")
    await other.until(caller, made.id, SessionState.SUCCEEDED)
    assert time.monotonic() - began < 3
    await leader.start()


async def test_a_transaction_that_lasts_holds_nobody_up_for_long(world: World, database_url: str) -> None:
    caller = await world.caller()
    slow = await asyncpg.connect(database_url)
    transaction = slow.transaction()
    await transaction.start()
    await slow.execute("SELECT pg_current_xact_id()")  # events behind it cannot be read in order until it ends
    made = await world.run(caller)
    await world.until(caller, made.id, SessionState.RUNNING, seconds=8)
    await transaction.rollback()
    await slow.close()
    await _is_true(world)


async def test_what_was_stopped_while_the_plan_was_made_does_not_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await world.caller()
    main = asyncio.get_running_loop()
    planned: list[int] = []

    def meanwhile(
        snapshot: Snapshot, now: float, policy: Policy = Policy(), *, reasons: bool = True
    ) -> Sequence[Decision]:
        planned.append(len(snapshot.requests))
        if len(planned) == 1:
            asyncio.run_coroutine_threadsafe(world.services.sessions.stop(caller, "first"), main).result()
        return plan(snapshot, now, policy, reasons=reasons)

    monkeypatch.setattr("madang.loops.schedule.plan", meanwhile)
    first = await world.run(caller, name="first", slots={"cpu": "4", "mem": "64m"})
    await world.until(caller, first.id, SessionState.CANCELLED)
    second = await world.run(caller, slots={"cpu": "4", "mem": "64m"})
    await world.until(caller, second.id, SessionState.RUNNING)
    assert planned[0] == 1
    assert len(world.agent.started) == 1
    await _is_true(world)


async def test_a_picture_that_is_wrong_is_noticed_and_made_anew(cluster: World) -> None:
    caller = await cluster.caller()
    made = await cluster.run(caller)
    await cluster.until(caller, made.id, SessionState.RUNNING)
    await _is_true(cluster)
    picture = cluster.schedule._picture
    assert picture is not None
    picture.groups["default"].end(made.id)
    fresh = await cluster.schedule.verify(picture)
    assert fresh is not picture
    assert await cluster.schedule.verify(fresh) is fresh


async def test_the_picture_is_true_whatever_happens(cluster: World) -> None:
    caller = await cluster.caller()
    chance = random.Random(42)
    await cluster.services.groups.put(caller, "other", (await cluster.services.groups.get(caller, "default")).policy)
    made: list[Session] = []
    for number in range(80):
        with suppress(MadangError):
            await _something(cluster, caller, chance, made)
        if number % 20 == 19:
            await _is_true(cluster)
            await _adds_up(cluster)
    for one in made:
        await cluster.services.sessions.stop(caller, one.id, 0)
    for one in made:
        await cluster.until(caller, one.id, *ENDED, seconds=20)
    await _is_true(cluster)
    assert await cluster.used() == {}


async def _something(world: World, caller: Caller, chance: random.Random, made: list[Session]) -> None:
    agents: Sequence[FakeAgent] = list(world.fabric.agents.values())
    match chance.randrange(8):
        case 0 | 1 | 2:
            gpu = chance.choice([{"cuda.shares": "300m"}, {"cuda.device": "1"}, {"cuda.device": "3"}, {}])
            fields = {"size": chance.choice([1, 1, 1, 2, 3]), "max_seconds": chance.choice([None, 600])}
            group = chance.choice(["default", "default", "other"])
            made.append(
                await world.run(caller, slots={"cpu": "0.5", "mem": "64m", **gpu}, resource_group=group, **fields)
            )
        case 3 if made:
            await world.services.sessions.stop(caller, chance.choice(made).id, chance.choice([0, 5]))
        case 4 | 5:
            agent = chance.choice(agents)
            if running := agent.running():
                agent.finish(chance.choice(running), chance.choice([0, 1]))
        case 6:
            group = chance.choice(["default", "other"])
            await world.services.nodes.update(caller, chance.choice(agents).name, NodeUpdate(resource_group=group))
        case _ if made:
            other = chance.choice(made)
            made.append(await world.run(caller, after=[other.id]))


async def _adds_up(world: World) -> None:
    """Slots in use are the sum of what holding sessions have on their nodes; no device is given away twice."""

    async def adds_up() -> bool:
        rows = await world.database.read(live.every)
        used = await world.used()
        uses = await world.database.read(containers.device_uses)
        again = await world.database.read(live.every)
        if rows != again:
            return False
        summed: dict[str, dict[str, int]] = {}
        devices: dict[tuple[str, int], int] = {}
        for row in rows:
            for part in row.parts:
                for slot, amount in part.slots.items():
                    node = summed.setdefault(part.node, {})
                    node[slot] = node.get(slot, 0) + amount
                for one in part.devices:
                    key = part.node, one.index
                    devices[key] = devices.get(key, 0) + one.milli
        assert used == summed
        assert all(milli <= 1000 for milli in devices.values())
        assert sum(one.milli for one in uses) == sum(devices.values())
        return True

    await eventually(adds_up)
