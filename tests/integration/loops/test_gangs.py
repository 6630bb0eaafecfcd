"""Sessions of several containers: all start or none, and they hold their room until the last has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from madang.domain.errors import StaleEpoch, StorageFull, Unavailable
from madang.domain.session import SessionState
from madang.schemas.agent import Phase
from madang.schemas.api import Session
from tests.fakes import FakeAgent, FakeContainer
from tests.world import World, eventually

GPU = {"cpu": "1", "mem": "64m", "cuda.device": "1"}


def held(world: World, session: Session) -> dict[int, tuple[FakeAgent, FakeContainer]]:
    """The containers of a session on their nodes, by rank."""
    return {
        container.spec.rank: (agent, container)
        for agent in world.fabric.agents.values()
        for container in agent.held.values()
        if container.spec.session_id == session.id
    }


def end(world: World, session: Session, rank: int, code: int) -> None:
    agent, container = held(world, session)[rank]
    agent.finish(container.spec.container_id, code)


async def _running(world: World, **fields: object) -> Session:
    caller = await world.caller()
    made = await world.run(caller, **{"size": 3, "layout": "spread", "slots": GPU, **fields})
    return await world.until(caller, made.id, SessionState.RUNNING)


async def test_every_container_knows_its_rank_and_has_its_own_devices(cluster: World) -> None:
    caller = await cluster.caller()
    archive = b"\0" * 1024

    async def blocks() -> AsyncIterator[bytes]:
        yield archive

    upload = await cluster.services.uploads.accept(caller, blocks())
    made = await _running(cluster, name="train", upload=upload.id)
    found = held(cluster, made)
    assert sorted(found) == [0, 1, 2]
    assert {agent.name for agent, _ in found.values()} == {"node1", "node2", "node3"}
    for rank, (agent, container) in found.items():
        spec = container.spec
        assert (spec.variables["MADANG_RANK"], spec.variables["MADANG_SIZE"], spec.size) == (str(rank), "3", 3)
        assert spec.hostname == ("train" if rank == 0 else f"train-{rank}")
        [share] = spec.devices
        assert share.id == f"{agent.name}-{share.index}"
        assert share.milli == 1000
        assert container.files["archive"] == archive
        assert container.starts == 1
    used = await cluster.used()
    assert used["node2"] == {"cpu": 1000, "mem": 64 << 20, "cuda.device": 1, "cuda.shares": 1000}


async def test_several_containers_may_share_a_node_and_never_a_device(cluster: World) -> None:
    made = await _running(cluster, size=4, layout="one-node")
    found = held(cluster, made).values()
    assert len({agent.name for agent, _ in found}) == 1
    assert len({container.spec.devices[0].index for _, container in found}) == 4


async def test_all_start_or_none(cluster: World) -> None:
    caller = await cluster.caller()
    first = await _running(cluster)
    second = await cluster.run(caller, size=10, slots=GPU)

    async def explained() -> bool:
        found = await cluster.services.sessions.get(caller, second.id)
        return found.waiting is not None and found.waiting.code == "gang"

    await eventually(explained)
    assert held(cluster, second) == {}
    await cluster.services.sessions.stop(caller, first.id)
    await cluster.until(caller, second.id, SessionState.RUNNING)
    assert len(held(cluster, second)) == 10


async def test_the_end_of_the_main_container_is_the_end_and_room_is_held_until_the_last_has_ended(
    cluster: World,
) -> None:
    caller = await cluster.caller()
    made = await _running(cluster)
    for agent in cluster.fabric.agents.values():
        agent.stubborn = True
    end(cluster, made, 0, 0)
    await cluster.until(caller, made.id, SessionState.TERMINATING)
    assert (await cluster.used())["node1"]["cuda.device"] == 1
    assert sorted(await cluster.used()) == ["node1", "node2", "node3"]
    await cluster.services.sessions.stop(caller, made.id, 0)
    ended = await cluster.until(caller, made.id, SessionState.SUCCEEDED)
    assert ended.exit is not None
    assert ended.exit.code == 0
    assert await cluster.used() == {}


async def test_a_sub_container_that_fails_fails_the_session_by_name(cluster: World) -> None:
    caller = await cluster.caller()
    made = await _running(cluster)
    node = held(cluster, made)[2][0].name
    end(cluster, made, 1, 0)  # one that succeeds ends nothing
    end(cluster, made, 2, 7)
    ended = await cluster.until(caller, made.id, SessionState.FAILED)
    assert ended.reason == f"container 2 of 3 on {node}: ended with exit code 7"
    assert await cluster.used() == {}
    assert all(not agent.running() for agent in cluster.fabric.agents.values())


async def test_one_that_cannot_be_launched_stops_the_others(cluster: World) -> None:
    caller = await cluster.caller()
    cluster.fabric.agents["node2"].fail("start", StorageFull("The node's disk is full."))
    made = await cluster.run(caller, size=3, layout="spread", slots=GPU)
    ended = await cluster.until(caller, made.id, SessionState.FAILED)
    assert "on node2: The node's disk is full." in ended.reason
    assert await cluster.used() == {}

    async def quiet() -> bool:
        return all(not agent.running() for agent in cluster.fabric.agents.values())

    await eventually(quiet)


@pytest.mark.parametrize("error", [StaleEpoch("Fenced."), Unavailable("Not now.")])
async def test_a_launch_that_one_node_refuses_lets_all_go_and_is_tried_again(
    cluster: World, error: StaleEpoch | Unavailable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("madang.loops.launch._PAUSES", ())
    caller = await cluster.caller()
    cluster.fabric.agents["node3"].fail("start", error)
    made = await cluster.run(caller, size=3, layout="spread", slots=GPU)
    await cluster.until(caller, made.id, SessionState.RUNNING)
    found = held(cluster, made)
    assert {container.spec.epoch for _, container in found.values()} == {2}
    assert len(found) == 3
    for agent in cluster.fabric.agents.values():
        assert all(count == 1 for count in agent.started.values())
    await cluster.services.sessions.stop(caller, made.id)
    await cluster.until(caller, made.id, SessionState.STOPPED)
    assert await cluster.used() == {}


async def test_a_gang_outlives_its_manager(cluster: World) -> None:
    caller = await cluster.caller()
    made = await _running(cluster)
    await cluster.crash()
    end(cluster, made, 1, 0)
    end(cluster, made, 0, 0)
    await cluster.start()
    ended = await cluster.until(caller, made.id, SessionState.SUCCEEDED)
    assert [one.exit.reason.value for one in ended.containers if one.exit] == ["exited", "exited", "stopped"]
    assert await cluster.used() == {}


async def test_deleting_a_gang_leaves_nothing_on_any_node(cluster: World) -> None:
    caller = await cluster.caller()
    made = await _running(cluster)
    await cluster.services.sessions.stop(caller, made.id)
    await cluster.until(caller, made.id, SessionState.STOPPED)
    assert {container.phase for _, container in held(cluster, made).values()} == {Phase.ENDED}
    await cluster.services.sessions.delete(caller, made.id)

    async def clean() -> bool:
        return not held(cluster, made)

    await eventually(clean)
