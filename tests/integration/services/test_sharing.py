"""Sharing a session: with whom, how far, and that it ends when it is taken back."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from madang.domain.errors import Forbidden, InvalidInput, NotFound
from madang.domain.people import Caller, ProjectRole
from madang.domain.rights import Right
from madang.schemas.agent import ExecSpec
from madang.schemas.people import DomainCreate, MemberUpdate, ProjectCreate, ShareUpdate, UserCreate
from tests.world import World


async def _seen(world: World, caller: Caller) -> list[str]:
    return [one.name for one in (await world.services.sessions.list(caller)).items]


async def test_a_session_is_shared_with_a_user_to_view_then_to_use_then_no_more(idle_world: World) -> None:
    services = idle_world.services
    kim, han = await idle_world.caller("kim", "user"), await idle_world.caller("han", "user")
    session = await idle_world.run(kim, "train", name="mine")
    assert await _seen(idle_world, han) == []
    made = await services.sharing.share(kim, "mine", ShareUpdate(user="han"))
    assert (made.user, made.project, made.level) == ("han", None, "view")
    assert await _seen(idle_world, han) == ["mine"]
    shown = await services.sessions.get(han, "mine")
    assert (shown.command, shown.may) == (["train"], ["read"])
    for refused in (
        services.sessions.exec(han, session.id, ExecSpec(command=["sh"])),
        services.sessions.stop(han, session.id),
        services.sharing.share(han, session.id, ShareUpdate(project="default")),
    ):
        with pytest.raises(Forbidden):
            await refused
    await services.sharing.share(kim, "mine", ShareUpdate(user="han", level="use"))
    assert [one.level for one in await services.sharing.list(kim, "mine")] == ["use"]
    assert (await services.sessions.get(han, "mine")).may == ["read", "enter"]
    with pytest.raises(Forbidden):
        await services.sharing.list(han, "mine")
    await services.sharing.unshare(kim, "mine", user="han")
    assert await _seen(idle_world, han) == []
    with pytest.raises(NotFound, match="not shared with 'han'"):
        await services.sharing.unshare(kim, "mine", user="han")


async def test_a_session_is_shared_with_all_of_a_project(idle_world: World) -> None:
    services, admin = idle_world.services, await idle_world.caller()
    await services.domains.create(admin, DomainCreate(name="snu"))
    await services.users.create(admin, UserCreate(name="cho", domain="snu"))
    await idle_world.caller("kim", "user")
    await services.projects.create(admin, "snu", ProjectCreate(name="robots", owner="cho"))
    member = MemberUpdate(role=ProjectRole.VIEWER)
    await services.projects.set_member(admin, "snu", "robots", "kim", member)
    kim, cho = await idle_world.caller("kim", "user"), await idle_world.caller("cho", "user")
    await idle_world.run(kim, name="mine", project="default")
    with pytest.raises(NotFound, match="no project 'other'"):
        await services.sharing.share(kim, "mine", ShareUpdate(project="other"))
    made = await services.sharing.share(kim, "mine", ShareUpdate(project="robots", level="use"))
    assert (made.user, made.project) == (None, "snu/robots")
    assert (await services.sessions.get(cho, "mine")).may == ["read", "enter"]
    await services.projects.remove_member(admin, "snu", "robots", "kim")
    await services.sharing.unshare(await idle_world.caller("kim", "user"), "mine", project="snu/robots")
    assert await _seen(idle_world, cho) == []


async def test_who_is_unknown_here_cannot_be_named(idle_world: World) -> None:
    services, admin = idle_world.services, await idle_world.caller()
    await services.domains.create(admin, DomainCreate(name="snu"))
    await services.users.create(admin, UserCreate(name="cho", domain="snu"))
    kim = await idle_world.caller("kim", "user")
    await idle_world.run(kim, name="mine")
    for name in ("cho", "nobody"):
        with pytest.raises(NotFound, match=f"no user '{name}' in your domain or one of your projects"):
            await services.sharing.share(kim, "mine", ShareUpdate(user=name))
    with pytest.raises(InvalidInput, match="own"):
        await services.sharing.share(kim, "mine", ShareUpdate(user="kim"))
    for nobody in (ShareUpdate(), ShareUpdate(user="admin", project="default")):
        with pytest.raises(InvalidInput, match="either with a user or with a project"):
            await services.sharing.share(kim, "mine", nobody)
    with pytest.raises(NotFound):
        await services.sharing.share(await idle_world.caller("han", "user"), "mine", ShareUpdate(user="han"))
    assert await services.sharing.list(kim, "mine") == []


async def test_what_is_open_of_a_session_ends_when_it_is_shared_no_more(idle_world: World) -> None:
    services = idle_world.services
    kim = await idle_world.caller("kim", "user")
    await idle_world.caller("han", "user")
    han = await services.tokens.authenticate(await services.tokens.issue("han", "user", "test"))
    session = await idle_world.run(kim, "train")
    await services.sharing.share(kim, session.id, ShareUpdate(user="han", level="use"))
    enter = partial(services.sessions.allow, han, session.id, Right.SESSION_ENTER)
    entered = asyncio.create_task(services.tokens.changed(han, enter))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(entered), 0.5)
    await services.sharing.share(kim, session.id, ShareUpdate(user="han", level="view"))
    await asyncio.wait_for(entered, 3)
