"""What a dry run says is what then happens; what a session waits for is looked at before it is accepted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from madang.domain.errors import ImpossibleRequest, InvalidInput, NotFound
from madang.domain.people import Caller
from madang.domain.session import SessionState
from madang.schemas.api import CalendarWindow, GroupPolicy, PlanAnswer, SessionCreate
from tests.fakes import FakeAgent
from tests.world import World, eventually


@pytest.fixture
async def cluster(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """Two nodes with four A100 each; a manager whose loops run."""
    slots = {"cpu": 16_000, "mem": 64 << 30}
    agents = [FakeAgent("gpu-01", dict(slots), gpus=["A100"] * 4), FakeAgent("gpu-02", dict(slots), gpus=["A100"] * 4)]
    made = World(database_url, tmp_path, agents)
    await made.start()
    yield made
    await made.crash()


async def _plan(cluster: World, caller: Caller, **fields: object) -> PlanAnswer:
    request = SessionCreate.model_validate({"command": ["sleep"], "slots": {"cpu": "0.1", "mem": "64m"}, **fields})
    return await cluster.services.sessions.plan(caller, request)


def _gpus(count: int) -> dict[str, object]:
    return {"cpu": "0.1", "mem": "64m", "cuda.device": count}


async def test_a_plan_keeps_nothing_and_is_what_then_happens(cluster: World) -> None:
    admin, sessions = await cluster.caller(), cluster.services.sessions
    answer = await _plan(cluster, admin, slots=_gpus(2), size=3)
    assert answer.starts
    assert (answer.reason, answer.waiting, answer.would_preempt) == ("", None, [])
    assert [(one.rank, len(one.devices)) for one in answer.placements] == [(0, 2), (1, 2), (2, 2)]
    assert (await sessions.list(admin)).items == []
    made = await cluster.run(admin, slots=_gpus(2), size=3)
    running = await cluster.until(admin, made.id, SessionState.RUNNING)
    assert [(one.rank, one.node, one.devices) for one in running.containers] == [
        (one.rank, one.node, one.devices) for one in answer.placements
    ]
    assert running.waiting is None


async def test_a_plan_that_waits_says_what_the_session_then_says(cluster: World) -> None:
    admin = await cluster.caller()
    for node in ("one", "two"):
        made = await cluster.run(admin, name=node, slots=_gpus(3), max_seconds=3600)
        await cluster.until(admin, made.id, SessionState.RUNNING)
    answer = await _plan(cluster, admin, slots=_gpus(2), models=["A100"])
    assert not answer.starts
    assert answer.waiting is not None
    assert (answer.waiting.code, answer.waiting.position, answer.waiting.of) == ("shortage", 1, 1)
    assert "needs 2 A100 GPUs; the best node of group default" in answer.reason
    assert "1 free" in answer.reason
    assert answer.waiting.estimated_start is not None
    left = answer.waiting.estimated_start - cluster.clock.now()
    assert timedelta(minutes=55) < left <= timedelta(hours=1)
    waiting = await cluster.run(admin, slots=_gpus(2), models=["A100"])

    async def told() -> bool:
        found = await cluster.services.sessions.get(admin, waiting.id)
        return found.waiting is not None and found.reason == answer.reason

    await eventually(told)


async def test_a_share_of_a_gpu_is_seen_on_its_device(cluster: World) -> None:
    kim, lee = await cluster.caller("kim", "user"), await cluster.caller("lee", "user")
    made = await cluster.run(kim, name="part", slots={"cpu": "0.1", "mem": "64m", "cuda.shares": "0.3"})
    running = await cluster.until(kim, made.id, SessionState.RUNNING)
    [container] = running.containers
    [held] = container.devices
    assert (held.kind, held.milli) == ("cuda", 300)
    nodes = {node.name: node for node in await cluster.services.nodes.list(kim)}
    device = nodes[container.node].devices[held.index]
    assert (device.used, device.sessions) == (300, ["part"])
    assert nodes[container.node].used["cuda.shares"] == 300
    # Others see that it is taken, not by what.
    seen = (await cluster.services.nodes.get(lee, container.node)).devices[held.index]
    assert (seen.used, seen.sessions) == (300, [])


async def test_what_nobody_could_ever_hold_is_refused_by_a_plan_as_well(cluster: World) -> None:
    admin = await cluster.caller()
    for attempt in (_plan(cluster, admin, slots=_gpus(5)), cluster.run(admin, slots=_gpus(5))):
        with pytest.raises(ImpossibleRequest, match="the nearest, gpu-01, has 4"):
            await attempt


async def test_sessions_of_others_look_like_those_that_do_not_exist(cluster: World) -> None:
    kim, lee = await cluster.caller("kim", "user"), await cluster.caller("lee", "user")
    secret = await cluster.run(kim, name="secret")
    refusals = []
    for ref in (secret.id, "secret", "nothing"):
        for fields in ({"after": [ref]}, {"after_ok": [ref]}):
            with pytest.raises(NotFound) as caught:
                await cluster.run(lee, **fields)
            refusals.append(caught.value.message.replace(ref, "*"))
            with pytest.raises(NotFound):
                await _plan(cluster, lee, **fields)
    assert len(set(refusals)) == 1


async def test_a_session_waits_for_others_and_then_runs(cluster: World) -> None:
    admin = await cluster.caller()
    first = await cluster.run(admin, name="first")
    await cluster.until(admin, first.id, SessionState.RUNNING)
    answer = await _plan(cluster, admin, after_ok=["first"])
    assert answer.waiting is not None
    assert (answer.waiting.code, answer.reason) == ("after", "waits for first to succeed")
    second = await cluster.run(admin, after=["first"], after_ok=[first.id])
    assert (second.after, second.after_ok) == ([], [first.id])
    agent = next(one for one in cluster.fabric.agents.values() if one.running())
    agent.finish(agent.running()[0])
    await cluster.until(admin, second.id, SessionState.RUNNING)


async def test_what_can_never_succeed_any_more_is_not_waited_for(cluster: World) -> None:
    admin = await cluster.caller()
    first = await cluster.run(admin, "exit", "3", name="first")
    await cluster.until(admin, first.id, SessionState.FAILED)
    with pytest.raises(InvalidInput, match="'first' is failed, so what waits for its success would never start"):
        await cluster.run(admin, after_ok=["first"])
    made = await cluster.run(admin, after=["first"])
    await cluster.until(admin, made.id, SessionState.RUNNING)


async def test_a_session_cannot_wait_for_itself(cluster: World) -> None:
    admin = await cluster.caller()
    with pytest.raises(InvalidInput, match="cannot wait for itself"):
        await cluster.run(admin, name="loop", after=["loop"])


async def test_a_request_that_was_accepted_is_answered_again_when_it_would_be_refused_by_now(cluster: World) -> None:
    admin = await cluster.caller()
    request = SessionCreate(command=["sleep"], start_at=cluster.clock.now() + timedelta(minutes=5))
    made = await cluster.services.sessions.create(admin, request, "key")
    assert (await _plan(cluster, admin, start_at=request.start_at)).waiting is not None
    cluster.clock.ahead = timedelta(hours=1)
    assert (await cluster.services.sessions.create(admin, request, "key")).id == made.id
    with pytest.raises(InvalidInput, match="in the past"):
        await cluster.services.sessions.create(admin, request, "another")


async def test_a_calendar_that_does_not_allow_it_now_says_until_when(cluster: World) -> None:
    admin = await cluster.caller()
    now = cluster.clock.now()
    edge = (now + timedelta(hours=2)).strftime("%H:00")
    day = {"name": "day", "start": now.strftime("%H:00"), "end": edge, "kinds": ["interactive"]}
    night = {"name": "night", "start": edge, "end": now.strftime("%H:00")}
    calendar = [CalendarWindow.model_validate(window) for window in (day, night)]
    await cluster.services.groups.put(admin, "default", GroupPolicy(calendar=calendar))
    answer = await _plan(cluster, admin)
    assert answer.waiting is not None
    assert answer.waiting.code == "calendar"
    assert answer.waiting.estimated_start is not None
    assert answer.waiting.estimated_start.strftime("%H:%M") == edge
    assert (await _plan(cluster, admin, kind="interactive")).starts


async def test_who_would_have_to_give_way_is_told_by_name_to_those_who_may_know(cluster: World) -> None:
    kim, lee, admin = await cluster.caller("kim", "user"), await cluster.caller("lee", "user"), await cluster.caller()
    await cluster.services.groups.put(admin, "default", GroupPolicy(preemption=True))
    for number in range(2):
        made = await cluster.run(kim, name=f"job-{number}", slots=_gpus(4))
        await cluster.until(kim, made.id, SessionState.RUNNING)
    jobs, unknown = {"job-0", "job-1"}, {"a batch session of somebody else"}
    for caller, names in [(kim, jobs), (admin, jobs), (lee, unknown)]:
        answer = await _plan(cluster, caller, kind="interactive", slots=_gpus(1))
        assert not answer.starts
        assert len(answer.would_preempt) == 1
        assert set(answer.would_preempt) <= names
    assert (await _plan(cluster, lee, slots=_gpus(1))).would_preempt == []  # batch waits for batch
