"""What is read of sessions is what is there now, for each caller as far as the caller may see it."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from madang.domain.session import SessionState
from madang.schemas.api import SessionQuery
from madang.schemas.people import ShareUpdate
from tests.world import World


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ("UPDATE sessions SET reason = 'another'", ("reason", "another")),
        ("UPDATE users SET name = 'kang' WHERE name = 'kim'", ("owner", "kang")),
        ("UPDATE projects SET name = 'team'", ("project", "team")),
        ("UPDATE domains SET name = 'lab'", ("project", "lab/default")),
        ("UPDATE containers SET node = 'elsewhere' WHERE role = 'main'", ("node", "elsewhere")),
        ("DELETE FROM session_dependencies", ("after", [])),
    ],
)
async def test_a_change_of_anything_that_a_session_shows_is_read_at_once(
    world: World, change: str, seen: tuple[str, object]
) -> None:
    kim = await world.caller("kim", "user")
    first = await world.run(kim, "true", name="first")
    made = await world.run(kim, "true", name="second", after=["first"])
    await world.until(kim, first.id, SessionState.RUNNING)
    world.fabric.agents["node1"].finish(await world.container_of(first.id), 0)
    await world.until(kim, made.id, SessionState.RUNNING)
    await world.crash()
    await world.open()
    name, now = seen
    for _ in range(2):  # the second time it is remembered
        before = await world.services.sessions.get(kim, made.id)
        assert getattr(before, name) != now
    await world.database.transaction(lambda transaction: transaction.connection.execute(text(change)), "test")
    after = (await world.services.sessions.list(kim, SessionQuery(name="second"))).items[0]
    assert getattr(after, name) == now
    assert after.model_copy(update={name: getattr(before, name)}) in (
        before,
        before.model_copy(update={"containers": after.containers}),
    )


async def test_the_end_of_one_container_of_many_is_read_at_once(world: World) -> None:
    admin = await world.caller()
    made = await world.run(admin, "true", size=2, slots={"cpu": "0.1", "mem": "64m"})
    before = await world.until(admin, made.id, SessionState.RUNNING)
    assert [(one.role, one.rank, one.exit) for one in before.containers] == [("main", 0, None), ("sub", 1, None)]
    change = "UPDATE containers SET exit_reason = 'exited', exit_code = 3 WHERE role = 'sub'"
    await world.database.transaction(lambda transaction: transaction.connection.execute(text(change)), "test")
    ended = (await world.services.sessions.get(admin, made.id)).containers[1].exit
    assert ended is not None
    assert ended.code == 3


async def test_what_one_may_read_of_a_session_is_not_told_to_others(idle_world: World) -> None:
    kim, han = await idle_world.caller("kim", "user"), await idle_world.caller("han", "user")
    services = idle_world.services
    made = await idle_world.run(kim, "secret", variables={"KEY": "secret"})
    await services.sharing.share(kim, made.id, ShareUpdate(user="han"))
    lee = await idle_world.caller("lee", "domain_admin")
    for who, command, may in (
        (kim, ["secret"], ["read", "enter", "stop", "share"]),
        (lee, [], ["stop"]),
        (han, ["secret"], ["read"]),
        (lee, [], ["stop"]),
    ):
        for shown in (await services.sessions.get(who, made.id), (await services.sessions.list(who)).items[0]):
            assert (shown.command, shown.may) == (command, may)
            assert bool(shown.variables) == bool(command)
