"""Invitations into projects: who gets in by a link, as what and until when, and who does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from madang.api.app import create_app
from madang.domain.errors import Conflict, Forbidden, InvalidInput, NameInUse, NotFound, TooManyAttempts, Unauthorized
from madang.domain.people import Caller, ProjectRole
from madang.schemas.invitations import InvitationCreate, InvitationSignUp, NewInvitation
from madang.schemas.machines import ProjectTokenCreate
from madang.schemas.people import (
    DomainCreate,
    DomainUpdate,
    MemberUpdate,
    ProjectCreate,
    ProjectUpdate,
    UserCreate,
    UserUpdate,
)
from madang.services.mail import TEXTS, Mailer, Server
from tests.fakes import FakeAgent
from tests.world import World

JOINT = ("default", "joint")
WORDS = "blue-tram-otter-nine"


class People(World):
    """The project `joint` of the default domain, owned by kim; lee and cho of the domain snu."""

    async def fill(self) -> None:
        self.admin = await self.caller()
        await self.services.domains.create(self.admin, DomainCreate(name="snu"))
        for name, domain in (("kim", "default"), ("lee", "snu"), ("cho", "snu")):
            await self.services.users.create(self.admin, UserCreate(name=name, domain=domain))
        await self.services.projects.create(self.admin, "default", ProjectCreate(name="joint", owner="kim"))

    async def sign_in(self, name: str) -> Caller:
        return await self.caller(name, "user")

    async def invite(self, name: str = "kim", **fields: object) -> NewInvitation:
        wanted = InvitationCreate.model_validate(fields)
        maker = await self.sign_in(name)
        return await self.services.invitations.create(maker, JOINT, wanted, base="http://here:1/", language="en")

    async def join(self, name: str, link: str) -> ProjectRole:
        return (await self.services.invitations.accept(await self.sign_in(name), link)).role

    async def sign_up(self, link: str, name: str, password: str = WORDS, **fields: str) -> Caller:
        wanted = InvitationSignUp.model_validate({"link": link, "name": name, "password": password, **fields})
        made = await self.services.invitations.sign_up(wanted, "192.0.2.7")
        return await self.services.tokens.authenticate(made.token)

    async def projects_of(self, name: str) -> list[str]:
        return sorted(one.path for one in (await self.sign_in(name)).memberships.values())

    async def member(self, user: str, role: str = "member", days: float | None = None) -> None:
        ends = None if days is None else self.clock.now() + timedelta(days=days)
        how = MemberUpdate(role=ProjectRole(role), expires_at=ends)
        await self.services.projects.set_member(self.admin, *JOINT, user, how)


@pytest.fixture
async def people(database_url: str, tmp_path: Path) -> AsyncIterator[People]:
    made = People(database_url, tmp_path, [FakeAgent()])
    await made.open()
    await made.watch.step()
    await made.fill()
    yield made
    await made.crash()


async def test_somebody_of_another_domain_joins_until_the_end_that_was_named(people: People) -> None:
    until = people.clock.now() + timedelta(days=30)
    made = await people.invite(role="maintainer", member_until=until)
    assert made.link.startswith("http://here:1/invitation#mdl_")
    assert made.expires_at - made.created_at == timedelta(days=7)
    assert not made.sent
    assert await people.join("cho", made.link) is ProjectRole.MAINTAINER
    assert await people.projects_of("cho") == ["joint", "snu/default"]
    people.clock.ahead = timedelta(days=29)
    assert await people.projects_of("cho") == ["joint", "snu/default"]
    people.clock.ahead = timedelta(days=31)
    assert await people.projects_of("cho") == ["snu/default"]


async def test_somebody_new_gets_an_account_in_the_domain_of_the_project_and_is_only_in_that(people: People) -> None:
    made = await people.invite(email="han@kaist.ac.kr")
    han = await people.sign_up(made.link, "han", full_name="Han")
    assert [(one.path, one.role) for one in han.memberships.values()] == [("joint", "member")]
    account = await people.services.users.get(people.admin, "han")
    assert (account.domain, account.role, account.email) == ("default", "user", "han@kaist.ac.kr")
    signed_in = await people.services.sign_in.password("han", WORDS, address="192.0.2.7")
    assert signed_in.user_id == han.user_id


async def test_one_of_two_gets_in_by_a_link_of_one_use(people: People) -> None:
    for round_ in range(5):
        link = (await people.invite()).link
        outcomes = await asyncio.gather(
            people.sign_up(link, f"first{round_}"), people.sign_up(link, f"second{round_}"), return_exceptions=True
        )
        assert sorted(type(one).__name__ for one in outcomes) == ["Caller", "Conflict"]
    assert len(await people.services.projects.members(people.admin, *JOINT)) == 6


async def test_a_link_of_several_uses_takes_in_as_many(people: People) -> None:
    link = (await people.invite(most_uses=2)).link
    outcomes = await asyncio.gather(
        people.join("cho", link), people.join("lee", link), people.sign_up(link, "han"), return_exceptions=True
    )
    assert sum(isinstance(one, Conflict) for one in outcomes) == 1
    with pytest.raises(Conflict, match="used already"):
        await people.sign_up(link, "ryu")


async def test_a_link_that_is_over_says_why(people: People) -> None:
    kim, invitations = await people.sign_in("kim"), people.services.invitations
    with pytest.raises(NotFound, match="not known here"):
        await people.join("cho", "mdl_" + "x" * 43)
    with pytest.raises(InvalidInput, match="not a whole link"):
        await people.join("cho", "http://here:1/invitation#mdl_short")
    gone = await people.invite()
    await invitations.revoke(kim, *JOINT, gone.id)
    with pytest.raises(Conflict, match="taken back"):
        await people.join("cho", gone.link)
    with pytest.raises(NotFound, match="still good"):
        await invitations.revoke(kim, *JOINT, gone.id)
    late = await people.invite(expires_at=people.clock.now() + timedelta(hours=1), most_uses=3)
    await people.services.projects.change(people.admin, *JOINT, ProjectUpdate(active=False))
    with pytest.raises(Conflict, match="'joint' is closed"):
        await people.join("cho", late.link)
    await people.services.projects.change(people.admin, *JOINT, ProjectUpdate(active=True))
    people.clock.ahead = timedelta(hours=2)
    with pytest.raises(Conflict, match="was good until"):
        await people.sign_up(late.link, "han")
    await people.services.projects.delete(people.admin, *JOINT)
    with pytest.raises(NotFound, match="no more"):
        await people.join("cho", late.link)
    assert await people.projects_of("cho") == ["snu/default"]


@pytest.mark.parametrize("loss", ["role", "membership", "account", "disabled", "domain"])
async def test_an_invitation_is_no_good_when_its_maker_may_not_invite_any_more(people: People, loss: str) -> None:
    await people.member("lee", "owner")
    made = await people.invite("lee")
    services = people.services
    assert [one.id for one in await services.invitations.list(people.admin, *JOINT)] == [made.id]
    if loss == "role":
        await people.member("lee", "maintainer")
    elif loss == "membership":
        await services.projects.remove_member(people.admin, *JOINT, "lee")
    elif loss == "account":
        await services.users.delete(people.admin, "lee")
    elif loss == "disabled":
        await services.users.change(people.admin, "lee", UserUpdate(active=False))
    else:
        await services.domains.change(people.admin, "snu", DomainUpdate(active=False))
    with pytest.raises(Conflict, match="does not say any more who is in"):
        await people.sign_up(made.link, "han")
    assert await services.invitations.list(people.admin, *JOINT) == []


async def test_a_stronger_role_stays_and_nothing_is_taken_away(people: People) -> None:
    link = (await people.invite(role="viewer")).link
    assert await people.join("kim", link) is ProjectRole.OWNER
    assert await people.join("cho", link) is ProjectRole.VIEWER  # it was not used up by the owner
    await people.member("lee")
    soon = people.clock.now() + timedelta(days=2)
    shorter = (await people.invite(role="maintainer", member_until=soon)).link
    with pytest.raises(Conflict, match="for longer than"):
        await people.join("lee", shorter)
    await people.member("lee", days=1)
    assert await people.join("lee", shorter) is ProjectRole.MAINTAINER
    longer = await people.services.invitations.accept(
        await people.sign_in("lee"), (await people.invite(role="maintainer")).link
    )
    assert longer.expires_at is None


async def test_who_may_not_say_who_is_in_a_project_neither_invites_nor_sees_invitations(people: People) -> None:
    await people.member("cho", "maintainer")
    with pytest.raises(Forbidden, match="project owner"):
        await people.invite("cho")
    with pytest.raises(NotFound):
        await people.invite("lee")
    with pytest.raises(Forbidden):
        await people.services.invitations.list(await people.sign_in("cho"), *JOINT)


async def test_times_that_make_no_sense_are_refused(people: People) -> None:
    now = people.clock.now()
    for refused in (
        people.invite(expires_at=now - timedelta(days=1)),
        people.invite(expires_at=now + timedelta(days=91)),
        people.invite(member_until=now - timedelta(days=1)),
    ):
        with pytest.raises(InvalidInput):
            await refused


async def test_what_is_wrong_with_a_new_account_uses_nothing_up(people: People) -> None:
    link = (await people.invite()).link
    with pytest.raises(InvalidInput, match="at least 10"):
        await people.sign_up(link, "han", "short")
    with pytest.raises(NameInUse, match="taken"):
        await people.sign_up(link, "cho")
    assert (await people.sign_up(link, "han")).name == "han"
    with pytest.raises(Unauthorized):
        await people.services.sign_in.password("cho", WORDS, address="192.0.2.7")


async def test_links_cannot_be_tried_without_end(people: People) -> None:
    with pytest.raises(TooManyAttempts):
        for _ in range(20):
            with pytest.raises(NotFound):
                await people.sign_up("mdl_" + "x" * 43, "han")


async def test_who_joined_how_is_audited_without_the_secret(people: People) -> None:
    made = await people.invite(email="han@kaist.ac.kr")
    await people.sign_up(made.link, "han")
    entries = (await people.services.audit.list(people.admin)).items
    actions = [one.action for one in entries]
    assert {"invitation.create", "user.create", "project.join", "sign_in"} <= set(actions)
    joined = next(one for one in entries if one.action == "project.join")
    assert (joined.actor, joined.target, joined.address) == ("han", "joint", "192.0.2.7")
    secret = made.link.partition("#")[2]
    assert all(secret not in one.model_dump_json() for one in entries)


async def test_a_token_of_a_project_joins_no_other_one(people: People) -> None:
    await people.services.projects.create(people.admin, "default", ProjectCreate(name="other"))
    wanted = ProjectTokenCreate(label="nightly")
    robot = await people.services.project_tokens.create(people.admin, "default", "other", wanted)
    caller = await people.services.tokens.authenticate(robot.token)
    with pytest.raises(Forbidden):
        await people.services.invitations.accept(caller, (await people.invite()).link)


async def test_an_invitation_is_mailed_to_the_address_it_names(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = []
    server = Server.parse("smtp://127.0.0.1:25")
    mailer = Mailer(server, "madang@here.example", "https://madang.here.example")
    monkeypatch.setattr(mailer, "send", lambda *what: letters.append(what))
    monkeypatch.setattr(people.services.invitations, "_mailer", mailer)
    assert not (await people.invite()).sent
    made = await people.invite(email="han@kaist.ac.kr", role="viewer")
    [(to, kind, language, values)] = letters
    assert (made.sent, to, language) == (True, "han@kaist.ac.kr", "en")
    subject, text = TEXTS[kind][language]
    assert subject.format(**values) == "Invitation into the project joint"
    assert "kim invites you into the project 'joint' as viewer" in text.format(**values)
    assert values["link"].startswith("https://madang.here.example/invitation#mdl_")


async def test_the_link_leads_to_where_the_server_was_reached(people: People) -> None:
    transport = httpx.ASGITransport(create_app(people.services))
    token = await people.services.tokens.issue("kim", "user", "test")
    headers = {"Authorization": f"Bearer {token}"}
    path = "/api/v1/domains/default/projects/joint/invitations"
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7420") as http:
        made = (await http.post(path, headers=headers)).json()
        assert made["link"].startswith("http://127.0.0.1:7420/invitation#")
        [listed] = (await http.get(path, headers=headers)).json()["items"]
        assert "link" not in listed
        wanted = {"link": made["link"], "name": "han", "password": WORDS}
        answer = await http.post("/api/v1/sign-in/invitation", json=wanted)
        assert (answer.status_code, answer.json()["token"][:4]) == (201, "mdg_")
        again = await http.post("/api/v1/sign-in/invitation", json={**wanted, "name": "ryu"})
        assert (again.status_code, again.json()["code"]) == (409, "conflict")
