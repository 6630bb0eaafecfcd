"""Policies: what they forbid is not accepted, what they allow is not exceeded, by however many at once."""

from __future__ import annotations

import asyncio

import pytest

from madang.domain.errors import Conflict, Forbidden, LimitExceeded, NotFound
from madang.domain.people import Caller
from madang.domain.session import SessionState
from madang.schemas.api import PolicyLimits, SessionCreate, SessionQuery
from tests.world import World, eventually


async def _policy(world: World, name: str = "student", **limits: object) -> Caller:
    admin = await world.caller()
    await world.services.policies.put(admin, name, PolicyLimits.model_validate(limits))
    return admin


async def test_two_hundred_at_once_against_fifty_leave_fifty(idle_world: World) -> None:
    admin = await _policy(idle_world, sessions=50)
    ann = await idle_world.caller("ann", "user")
    await idle_world.services.policies.lay(admin, "student", "user", "ann")
    made = await asyncio.gather(
        *(idle_world.run(ann, name=f"job-{number}") for number in range(200)), return_exceptions=True
    )
    refused = [one for one in made if isinstance(one, BaseException)]
    assert len(refused) == 150
    assert all(isinstance(one, LimitExceeded) for one in refused)
    assert "may have 50 live sessions (policy student) and has 50" in str(refused[0])
    accepted = [one.id for one in made if not isinstance(one, BaseException)]
    assert len((await idle_world.services.sessions.list(ann, SessionQuery(limit=100))).items) == len(accepted) == 50
    await idle_world.services.sessions.stop(ann, accepted[0])
    await idle_world.run(ann)  # one has ended, so there is room for one
    with pytest.raises(LimitExceeded):
        await idle_world.run(ann)


async def test_projects_members_and_domains_have_limits_of_their_own_and_the_strictest_applies(
    idle_world: World,
) -> None:
    policies = idle_world.services.policies
    admin = await _policy(idle_world, "team", sessions=3)
    await _policy(idle_world, "each", sessions=2)
    ann, bob = await idle_world.caller("ann", "user"), await idle_world.caller("bob", "user")
    await policies.lay(admin, "team", "project", "default")
    await policies.lay(admin, "each", "member", "default")
    await idle_world.run(ann)
    await idle_world.run(ann)
    with pytest.raises(LimitExceeded, match="A member of project default may have 2 live sessions"):
        await idle_world.run(ann)
    await idle_world.run(bob)
    with pytest.raises(LimitExceeded, match="Project default may have 3 live sessions"):
        await idle_world.run(bob)
    await policies.lay(admin, None, "project", "default")
    await idle_world.run(bob)
    await policies.lay(admin, "each", "domain", "default")
    carl = await idle_world.caller("carl", "user")
    with pytest.raises(LimitExceeded, match="Domain default may have 2 live sessions"):
        await idle_world.run(carl)


async def test_one_request_is_told_all_that_it_asks_too_much_of(idle_world: World) -> None:
    admin = await _policy(idle_world, slots={"cpu": "2", "cuda.device": 1}, containers=2, run_time="1h", groups=["day"])
    ann = await idle_world.caller("ann", "user")
    await idle_world.services.policies.lay(admin, "student", "domain_user", "default")
    with pytest.raises(LimitExceeded) as caught:
        await idle_world.run(ann, slots={"cpu": "3", "mem": "64m"}, max_seconds=7200)
    for part in ("may hold 2 cpu", "run for 1h", "may not use resource group default"):
        assert part in caught.value.message
    with pytest.raises(LimitExceeded):
        await idle_world.services.sessions.plan(ann, SessionCreate(command=["x"], slots={"cpu": "3"}))


async def test_who_names_no_run_time_gets_the_longest_that_is_allowed(idle_world: World) -> None:
    admin = await _policy(idle_world, run_time="90m")
    ann = await idle_world.caller("ann", "user")
    await idle_world.services.policies.lay(admin, "student", "user", "ann")
    assert (await idle_world.run(ann)).max_seconds == 5400
    assert (await idle_world.run(ann, max_seconds=60)).max_seconds == 60


async def test_what_would_be_too_much_at_once_waits_and_says_so(world: World) -> None:
    admin = await _policy(world, slots={"cpu": "1"})
    ann = await world.caller("ann", "user")
    await world.services.policies.lay(admin, "student", "user", "ann")
    first = await world.run(ann, slots={"cpu": "0.8", "mem": "64m"})
    await world.until(ann, first.id, SessionState.RUNNING)
    second = await world.run(ann, slots={"cpu": "0.8", "mem": "64m"})
    other = await world.run(admin, slots={"cpu": "0.8", "mem": "64m"})
    await world.until(admin, other.id, SessionState.RUNNING)  # nobody else is held up

    async def told() -> bool:
        return "user ann may hold 1 and holds 0.8" in (await world.services.sessions.get(ann, second.id)).reason

    await eventually(told)
    answer = await world.services.sessions.plan(ann, SessionCreate(command=["x"], slots={"cpu": "0.8", "mem": "64m"}))
    assert not answer.starts
    assert "user ann may hold 1 and holds 0.8" in answer.reason
    await world.services.sessions.stop(ann, first.id, 0)
    await world.until(ann, second.id, SessionState.RUNNING)
    third = await world.run(ann, slots={"cpu": "0.8", "mem": "64m"})
    await world.services.policies.lay(admin, None, "user", "ann")  # a quota that is lifted lets it start
    await world.until(ann, third.id, SessionState.RUNNING)


async def test_a_policy_in_use_stays_and_only_administrators_change_them(idle_world: World) -> None:
    policies = idle_world.services.policies
    admin = await _policy(idle_world, sessions=5)
    ann = await idle_world.caller("ann", "user")
    await policies.lay(admin, "student", "user", "ann")
    with pytest.raises(Conflict, match="laid upon user ann"):
        await policies.delete(admin, "student")
    with pytest.raises(Forbidden):
        await policies.put(ann, "mine", PolicyLimits())
    with pytest.raises(Forbidden):
        await policies.delete(ann, "student")
    with pytest.raises(Forbidden):
        await policies.lay(ann, None, "user", "ann")
    assert (await policies.list(ann))[0].holders is None
    assert [(one.upon, one.name) for one in (await policies.list(admin))[0].holders or ()] == [("user", "ann")]
    with pytest.raises(NotFound):
        await policies.lay(admin, "student", "user", "nobody")
    with pytest.raises(NotFound):
        await policies.lay(admin, "student", "project", "default/none")
    with pytest.raises(NotFound):
        await policies.lay(admin, "student", "domain", "elsewhere")
    with pytest.raises(NotFound):
        await policies.lay(admin, "unknown", "user", "ann")
    await policies.lay(admin, None, "user", "ann")
    await policies.delete(admin, "student")
    assert await policies.list(admin) == []
