"""Tokens of projects: what their robots may do, and that they go when the token or the project does."""

from __future__ import annotations

from typing import Any

import pytest

from madang.domain.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized
from madang.domain.people import Caller, ProjectRole
from madang.domain.rights import Scope
from madang.domain.session import SessionState
from madang.schemas.api import TokenCreate
from madang.schemas.machines import KeyCreate, NewProjectToken, ProjectTokenCreate
from madang.schemas.people import MemberUpdate, ProjectCreate, UserCreate, UserUpdate
from tests.world import World


async def _team(world: World) -> tuple[Caller, Caller]:
    """The administrator, and kim, who owns the project `vision`."""
    admin = await world.caller()
    await world.services.users.create(admin, UserCreate(name="kim"))
    await world.services.projects.create(admin, "default", ProjectCreate(name="vision", owner="kim"))
    return admin, await world.caller("kim", "user")


async def _token(world: World, caller: Caller, **fields: Any) -> NewProjectToken:
    return await world.services.project_tokens.create(
        caller, "default", "vision", ProjectTokenCreate(label="ci", **fields)
    )


async def test_a_robot_works_in_its_project_and_nowhere_else(world: World) -> None:
    _, kim = await _team(world)
    made = await _token(world, kim)
    assert made.user.startswith("robot-vision-")
    robot = await world.services.tokens.authenticate(made.token)
    assert [one.path for one in robot.memberships.values()] == ["vision"]
    session = await world.run(robot, project="vision")
    assert session.owner == made.user
    with pytest.raises(NotFound):
        await world.run(robot, project="default")
    for refused in (
        world.services.tokens.create(robot, TokenCreate(label="more")),
        world.services.keys.create(robot, KeyCreate(label="more")),
        _token(world, robot),
    ):
        with pytest.raises(Forbidden, match="robot"):
            await refused


async def test_a_token_taken_back_ends_the_robot_and_owners_look_after_its_sessions(world: World) -> None:
    _, kim = await _team(world)
    made = await _token(world, kim, role="maintainer")
    robot = await world.services.tokens.authenticate(made.token)
    session = await world.run(robot, project="vision")
    await world.services.project_tokens.revoke(kim, "default", "vision", made.id)
    assert await world.services.project_tokens.list(kim, "default", "vision") == []
    with pytest.raises(Unauthorized):
        await world.services.tokens.authenticate(made.token)
    with pytest.raises(NotFound, match="no token"):
        await world.services.project_tokens.revoke(kim, "default", "vision", made.id)
    await world.until(kim, session.id, SessionState.RUNNING)
    await world.services.sessions.stop(kim, session.id, 0)
    await world.until(kim, session.id, SessionState.STOPPED)


async def test_robots_are_no_people(idle_world: World) -> None:
    services = idle_world.services
    admin, kim = await _team(idle_world)
    made = await _token(idle_world, kim)
    assert made.user not in [one.name for one in (await services.users.list(admin)).items]
    assert [one.name for one in (await services.users.list(admin, robots=True)).items if one.robot] == [made.user]
    assert (await services.domains.get(admin, "default")).users == 2
    with pytest.raises(Conflict, match="robot"):
        await services.projects.set_member(kim, "default", "vision", made.user, MemberUpdate(role=ProjectRole.OWNER))
    with pytest.raises(NotFound):
        await services.projects.set_member(admin, "default", "default", made.user, MemberUpdate())
    with pytest.raises(Conflict, match="robot"):
        await services.users.change(admin, made.user, UserUpdate(role="admin"))
    with pytest.raises(Conflict, match="robot"):
        await services.projects.remove_member(kim, "default", "vision", made.user)


async def test_who_makes_a_token_gives_no_more_than_the_own_one_may(idle_world: World) -> None:
    services = idle_world.services
    _, kim = await _team(idle_world)
    narrow = await services.tokens.create(kim, TokenCreate(label="n", scopes=[Scope.PEOPLE_READ, Scope.PEOPLE_WRITE]))
    limited = await services.tokens.authenticate(narrow.token)
    with pytest.raises(Forbidden, match="lacks sessions:write"):
        await _token(idle_world, limited, scopes=[Scope.SESSIONS_WRITE])
    assert (await _token(idle_world, limited)).scopes == [Scope.PEOPLE_READ, Scope.PEOPLE_WRITE]
    with pytest.raises(InvalidInput, match="already"):
        await _token(idle_world, kim, expires_at=idle_world.clock.now())
    other = await idle_world.caller("lee", "user")
    with pytest.raises(NotFound):
        await _token(idle_world, other)


async def test_robots_go_with_their_project(idle_world: World) -> None:
    services = idle_world.services
    admin, kim = await _team(idle_world)
    made = await _token(idle_world, kim)
    await services.projects.delete(admin, "default", "vision")
    with pytest.raises(NotFound):
        await services.users.get(admin, made.user)
    with pytest.raises(Unauthorized):
        await services.tokens.authenticate(made.token)
