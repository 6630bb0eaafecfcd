"""Domains, projects and accounts: who may see and change them, and what never happens however requests meet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from madang.domain.errors import Conflict, Forbidden, InvalidInput, NameInUse, NotFound, Unauthorized
from madang.domain.people import Caller, ProjectRole
from madang.domain.session import SessionState
from madang.schemas.api import SessionQuery
from madang.schemas.people import (
    DomainCreate,
    DomainUpdate,
    MemberUpdate,
    ProjectCreate,
    ProjectUpdate,
    UserCreate,
    UserUpdate,
)
from tests.fakes import FakeAgent
from tests.world import World


class People(World):
    """Two domains: the default one with kim, and snu with lee, its administrator, and cho."""

    async def fill(self) -> None:
        self.admin = await self.caller()
        await self.services.domains.create(self.admin, DomainCreate(name="snu", title="Seoul National"))
        await self.make("kim")
        await self.make("lee", domain="snu", role="domain_admin")
        await self.make("cho", domain="snu")

    async def make(self, name: str, **fields: object) -> None:
        await self.services.users.create(self.admin, UserCreate.model_validate({"name": name, **fields}))

    async def sign_in(self, name: str) -> Caller:
        return await self.caller(name, "user")  # who exists keeps the role

    async def put(self, project: str, user: str, role: str = "member", domain: str = "default") -> None:
        how = MemberUpdate(role=ProjectRole(role))
        await self.services.projects.set_member(self.admin, domain, project, user, how)


@pytest.fixture
async def people(database_url: str, tmp_path: Path) -> AsyncIterator[People]:
    made = People(database_url, tmp_path, [FakeAgent()])
    await made.open()
    await made.watch.step()
    await made.fill()
    yield made
    await made.crash()


async def test_everybody_sees_the_own_domain_and_administrators_all(people: People) -> None:
    kim, lee = await people.sign_in("kim"), await people.sign_in("lee")
    domains = people.services.domains
    assert [one.name for one in await domains.list(people.admin)] == ["default", "snu"]
    assert [one.name for one in await domains.list(kim)] == ["default"]
    snu = await domains.get(lee, "snu")
    assert (snu.title, snu.users, snu.projects) == ("Seoul National", 2, 1)
    with pytest.raises(NotFound, match="no domain 'snu'"):
        await domains.get(kim, "snu")
    with pytest.raises(NotFound):
        await domains.change(kim, "snu", DomainUpdate(title="x"))
    for caller in (kim, lee):
        with pytest.raises(Forbidden, match="Who may: administrator"):
            await domains.create(caller, DomainCreate(name="kaist"))
    with pytest.raises(Forbidden):
        await domains.change(lee, "snu", DomainUpdate(title="x"))
    with pytest.raises(NameInUse):
        await domains.create(people.admin, DomainCreate(name="snu"))


async def test_a_domain_is_deleted_only_when_nobody_and_nothing_is_in_it(people: People) -> None:
    domains, users = people.services.domains, people.services.users
    with pytest.raises(Conflict, match="stays"):
        await domains.delete(people.admin, "default")
    await people.services.projects.create(people.admin, "snu", ProjectCreate(name="robots"))
    with pytest.raises(Conflict, match=r"2 users, projects \(robots\), no sessions"):
        await domains.delete(people.admin, "snu")
    await people.services.projects.delete(people.admin, "snu", "robots")
    for name in ("lee", "cho"):
        await users.delete(people.admin, name)
    await domains.delete(people.admin, "snu")
    with pytest.raises(NotFound):
        await domains.get(people.admin, "snu")


async def test_a_new_account_joins_the_default_project_of_its_domain_or_those_that_are_named(people: People) -> None:
    users, projects = people.services.users, people.services.projects
    assert [one.project for one in (await users.get(people.admin, "cho")).projects] == ["snu/default"]
    assert (await users.get(await people.sign_in("kim"), "kim")).projects[0].project == "default"
    await projects.create(people.admin, "default", ProjectCreate(name="vision"))
    await people.make("han", projects=["vision", "snu/default"])
    assert [one.project for one in (await users.get(people.admin, "han")).projects] == ["vision", "snu/default"]
    with pytest.raises(NameInUse, match="taken"):
        await people.make("han", domain="snu")
    with pytest.raises(NotFound, match="no project 'nope'"):
        await people.make("new", projects=["nope"])
    with pytest.raises(NotFound, match="no user 'new'"):  # nothing was half made
        await users.get(people.admin, "new")


async def test_an_administrator_of_a_domain_keeps_to_it(people: People) -> None:
    users, lee = people.services.users, await people.sign_in("lee")
    made = await users.create(lee, UserCreate(name="ryu", full_name="Ryu", email="ryu@snu.ac.kr"))
    assert (made.domain, made.role, [one.project for one in made.projects]) == ("snu", "user", ["snu/default"])
    assert [one.name for one in (await users.list(lee)).items] == ["cho", "lee", "ryu"]
    for refused in (
        users.create(lee, UserCreate(name="boss", role="admin")),
        users.change(lee, "ryu", UserUpdate(role="admin")),
        users.change(lee, "ryu", UserUpdate(domain="default")),
    ):
        with pytest.raises(Forbidden, match="Only an administrator"):
            await refused
    for hidden in (
        users.get(lee, "kim"),
        users.change(lee, "kim", UserUpdate(active=False)),
        users.delete(lee, "kim"),
        users.create(lee, UserCreate(name="spy", domain="default")),
        users.create(lee, UserCreate(name="spy", projects=["default"])),
    ):
        with pytest.raises(NotFound):
            await hidden
    assert (await users.change(lee, "ryu", UserUpdate(role="domain_admin", email=""))).email == ""


async def test_an_administrator_of_a_domain_does_not_touch_the_administrators_in_it(people: People) -> None:
    users, lee = people.services.users, await people.sign_in("lee")
    await people.make("root", domain="snu", role="admin")
    for refused in (
        users.change(lee, "root", UserUpdate(active=False)),
        users.change(lee, "root", UserUpdate(email="lee@snu.ac.kr")),
        users.delete(lee, "root"),
    ):
        with pytest.raises(Forbidden, match="account of an administrator"):
            await refused


async def test_others_see_their_own_account_only(people: People) -> None:
    users, kim = people.services.users, await people.sign_in("kim")
    await people.make("han")
    assert [one.name for one in (await users.list(kim)).items] == ["kim"]
    with pytest.raises(NotFound):
        await users.get(kim, "han")
    with pytest.raises(NotFound):
        await users.change(kim, "han", UserUpdate(active=False))
    with pytest.raises(Forbidden, match="Who may: domain administrator, administrator"):
        await users.change(kim, "kim", UserUpdate(role="domain_admin"))
    with pytest.raises(Forbidden):
        await users.create(kim, UserCreate(name="friend"))


async def test_accounts_come_page_by_page(people: People) -> None:
    users = people.services.users
    first = await users.list(people.admin, limit=2)
    assert ([one.name for one in first.items], first.next) == (["admin", "cho"], "cho")
    rest = await users.list(people.admin, limit=2, cursor=first.next)
    assert ([one.name for one in rest.items], rest.next) == (["kim", "lee"], None)
    assert [one.name for one in (await users.list(people.admin, domain="snu")).items] == ["cho", "lee"]


async def test_who_is_moved_to_another_domain_does_not_administer_that_too(people: People) -> None:
    moved = await people.services.users.change(people.admin, "lee", UserUpdate(domain="default"))
    assert (moved.domain, moved.role) == ("default", "user")


async def test_a_disabled_account_or_domain_cannot_sign_in(people: People) -> None:
    token = await people.services.tokens.issue("cho", "user", "test")
    await people.services.tokens.authenticate(token)
    await people.services.users.change(people.admin, "cho", UserUpdate(active=False))
    with pytest.raises(Unauthorized, match="disabled"):
        await people.services.tokens.authenticate(token)
    await people.services.users.change(people.admin, "cho", UserUpdate(active=True))
    await people.services.domains.change(people.admin, "snu", DomainUpdate(active=False))
    with pytest.raises(Unauthorized, match="disabled"):
        await people.services.tokens.authenticate(token)


async def test_the_last_administrator_stays(people: People) -> None:
    users = people.services.users
    for refused in (
        users.change(people.admin, "admin", UserUpdate(active=False)),
        users.change(people.admin, "admin", UserUpdate(role="user")),
        users.delete(people.admin, "admin"),
        people.services.domains.change(people.admin, "default", DomainUpdate(active=False)),
    ):
        with pytest.raises(Conflict, match="Make somebody else"):
            await refused
    assert (await users.get(people.admin, "admin")).active


async def test_one_administrator_stays_when_all_are_removed_at_once(people: People) -> None:
    users = people.services.users
    for round_ in range(5):
        await people.make(f"boss{round_}", domain="snu", role="admin")
        outcomes = await asyncio.gather(
            users.change(people.admin, "admin", UserUpdate(role="user")),
            users.change(people.admin, f"boss{round_}", UserUpdate(active=False)),
            people.services.domains.change(people.admin, "snu", DomainUpdate(active=False)),
            return_exceptions=True,
        )
        assert [one for one in outcomes if isinstance(one, BaseException) and not isinstance(one, Conflict)] == []
        assert any(isinstance(one, Conflict) for one in outcomes)
        everybody = {one.name: one for one in (await users.list(people.admin)).items}
        snu = await people.services.domains.get(people.admin, "snu")
        assert [
            one
            for one in everybody.values()
            if one.role == "admin" and one.active and (one.domain != "snu" or snu.active)
        ]
        await people.services.domains.change(people.admin, "snu", DomainUpdate(active=True))
        await users.change(people.admin, "admin", UserUpdate(role="admin", active=True))
        await users.change(people.admin, f"boss{round_}", UserUpdate(role="user"))


async def test_members_of_other_domains_are_taken_in_by_their_exact_name(people: People) -> None:
    projects = people.services.projects
    await projects.create(people.admin, "default", ProjectCreate(name="joint", owner="kim"))
    kim, cho = await people.sign_in("kim"), await people.sign_in("cho")
    with pytest.raises(NotFound):
        await projects.get(cho, "default", "joint")
    ends = people.clock.now() + timedelta(days=30)
    added = await projects.set_member(kim, "default", "joint", "cho", MemberUpdate(expires_at=ends))
    assert (added.user, added.role, added.expires_at) == ("cho", "member", ends)
    cho = await people.sign_in("cho")
    assert [one.project for one in await projects.list(cho)] == ["joint", "snu/default"]
    assert [one.user for one in await projects.members(cho, "default", "joint")] == ["cho", "kim"]
    with pytest.raises(NotFound):
        await people.services.users.get(kim, "cho")  # nothing else of that domain is seen
    with pytest.raises(NotFound, match="exact name"):
        await projects.set_member(kim, "default", "joint", "ch", MemberUpdate())
    with pytest.raises(Forbidden, match="project owner"):
        await projects.set_member(cho, "default", "joint", "lee", MemberUpdate())
    people.clock.ahead = timedelta(days=31)
    assert [one.project for one in await projects.list(await people.sign_in("cho"))] == ["snu/default"]
    with pytest.raises(InvalidInput, match="over already"):
        await projects.set_member(kim, "default", "joint", "cho", MemberUpdate(expires_at=ends))
    await projects.remove_member(kim, "default", "joint", "cho")
    with pytest.raises(NotFound, match="not in the project"):
        await projects.remove_member(kim, "default", "joint", "cho")


async def test_a_project_keeps_an_owner(people: People) -> None:
    projects = people.services.projects
    await projects.create(people.admin, "default", ProjectCreate(name="vision", owner="kim"))
    kim = await people.sign_in("kim")
    soon = people.clock.now() + timedelta(days=1)
    for refused in (
        projects.remove_member(kim, "default", "vision", "kim"),
        projects.set_member(kim, "default", "vision", "kim", MemberUpdate()),
        projects.set_member(kim, "default", "vision", "kim", MemberUpdate(role=ProjectRole.OWNER, expires_at=soon)),
    ):
        with pytest.raises(Conflict, match="no owner any more"):
            await refused
    with pytest.raises(Conflict, match="'kim' is the only owner of vision"):
        await people.services.users.delete(people.admin, "kim")
    await people.put("vision", "cho", "owner")
    outcomes = await asyncio.gather(
        projects.remove_member(people.admin, "default", "vision", "kim"),
        people.services.users.delete(people.admin, "cho"),
        return_exceptions=True,
    )
    assert [type(one) for one in outcomes if one is not None] == [Conflict]
    assert len(await projects.members(people.admin, "default", "vision")) == 1


async def test_owners_change_the_title_and_administrators_close_a_project(people: People) -> None:
    projects = people.services.projects
    await projects.create(people.admin, "snu", ProjectCreate(name="robots", owner="cho"))
    cho = await people.sign_in("cho")
    assert (await projects.change(cho, "snu", "robots", ProjectUpdate(title="Robots"))).title == "Robots"
    for refused in (
        projects.change(cho, "snu", "robots", ProjectUpdate(active=False)),
        projects.delete(cho, "snu", "robots"),
        projects.create(cho, "snu", ProjectCreate(name="more")),
    ):
        with pytest.raises(Forbidden, match="domain administrator"):
            await refused
    lee = await people.sign_in("lee")
    await projects.change(lee, "snu", "robots", ProjectUpdate(active=False))
    assert "snu/robots" not in [one.path for one in (await people.sign_in("cho")).memberships.values()]
    await projects.delete(lee, "snu", "robots")
    with pytest.raises(Conflict, match="'snu/default' stays"):
        await projects.delete(lee, "snu", "default")
    with pytest.raises(NotFound, match="no domain 'default'"):
        await projects.create(lee, "default", ProjectCreate(name="theirs"))


async def test_a_project_with_sessions_stays_also_with_ended_ones(people: People) -> None:
    projects = people.services.projects
    await projects.create(people.admin, "default", ProjectCreate(name="vision", owner="kim"))
    kim = await people.sign_in("kim")
    session = await people.run(kim, project="vision")
    with pytest.raises(Conflict, match="has 1 live session"):
        await projects.delete(people.admin, "default", "vision")
    await people.services.sessions.stop(kim, session.id)
    with pytest.raises(Conflict, match="madang session ls --all --project vision"):
        await projects.delete(people.admin, "default", "vision")
    found = await people.services.sessions.list(people.admin, SessionQuery(project="vision"))
    assert [one.id for one in found.items] == [session.id]
    await people.services.sessions.delete(kim, session.id)
    with pytest.raises(Conflict, match="1 just deleted session"):
        await projects.delete(people.admin, "default", "vision")
    await people.reap.step()
    await projects.delete(people.admin, "default", "vision")


async def test_a_user_with_sessions_goes_only_when_it_is_said_what_becomes_of_them(people: People) -> None:
    users, kim = people.services.users, await people.sign_in("kim")
    waiting, other = await people.run(kim), await people.run(kim)
    await people.services.sessions.stop(kim, other.id)
    with pytest.raises(Conflict, match=r"1 live session and 1 ended session\. .*--sessions stop-and-delete"):
        await users.delete(people.admin, "kim")
    await users.delete(people.admin, "kim", "stop-and-delete")
    with pytest.raises(NotFound):
        await users.get(people.admin, "kim")
    with pytest.raises(NotFound):
        await people.services.sessions.get(people.admin, waiting.id)
    with pytest.raises(NameInUse):
        await people.make("kim")  # until nothing is left
    await people.reap.step()
    await people.make("kim")


async def test_what_runs_of_a_deleted_user_is_stopped_and_then_all_is_gone(world: World) -> None:
    admin, kim = await world.caller(), await world.caller("kim", "user")
    session = await world.run(kim, "forever")
    await world.until(kim, session.id, SessionState.RUNNING)
    await world.services.users.delete(admin, "kim", "stop-and-delete")
    with pytest.raises(Unauthorized):
        await world.caller("kim", "user")
    for _ in range(500):
        try:
            await world.services.users.create(admin, UserCreate(name="kim"))
            break
        except NameInUse:
            await asyncio.sleep(0.02)
    else:
        pytest.fail("The account was never removed.")
    with pytest.raises(NotFound):
        await world.services.sessions.get(admin, session.id)


async def test_who_changed_what_of_a_domain_is_seen_by_its_administrator(people: People) -> None:
    lee = await people.sign_in("lee")
    await people.services.users.change(lee, "cho", UserUpdate(active=False))
    await people.services.users.change(people.admin, "kim", UserUpdate(full_name="Kim"))
    [newest, *others] = (await people.services.audit.list(lee)).items
    assert (newest.actor, newest.action, newest.target) == ("lee", "user.set", "cho")
    assert (newest.before, newest.after) == ({"active": True}, {"active": False})
    assert {one.target for one in others} <= {"snu", "lee", "cho", "snu/default"}


async def test_what_happens_to_people_is_told_to_administrators_only(people: People) -> None:
    kim = await people.sign_in("kim")

    async def kinds(caller: Caller) -> set[str]:
        stream = people.services.streams.events(caller, follow=False)
        return {event.kind async for event in stream if event is not None}

    assert {"user.created", "domain.created", "project.created"} <= await kinds(people.admin)
    assert await kinds(kim) == {"token.created"}
    assert await kinds(await people.sign_in("lee")) == {"token.created"}
