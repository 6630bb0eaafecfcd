"""Importing a table of users through the API: all of it or nothing, and every mistake told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from madang.api.app import create_app
from madang.domain.errors import PasswordChangeRequired
from madang.schemas.api import PolicyLimits
from madang.schemas.people import DomainCreate, ProjectCreate, UserCreate
from tests.fakes import FakeAgent
from tests.world import World

HEADER = "account,name,e-mail,project,role,policy,password,invitation"
WORDS = "blue-tram-otter-nine"


def students(count: int, project: str = "ml-101") -> list[str]:
    return [f"ml-{at:02},Student {at},s{at}@snu.ac.kr,{project},,class,{WORDS}-{at}," for at in range(count)]


class Site(World):
    """The project `ml-101` and policy `class`; lee, who administers the domain snu with its project `robots`."""

    http: httpx.AsyncClient

    async def fill(self) -> None:
        services = self.services
        self.admin = await self.caller()
        await services.domains.create(self.admin, DomainCreate(name="snu"))
        await services.users.create(self.admin, UserCreate(name="lee", domain="snu", role="domain_admin"))
        await services.users.create(self.admin, UserCreate(name="kim"))
        await services.projects.create(self.admin, "default", ProjectCreate(name="ml-101"))
        await services.projects.create(self.admin, "snu", ProjectCreate(name="robots"))
        await services.policies.put(self.admin, "class", PolicyLimits())

    async def post(self, *lines: str, who: str = "admin", **query: str) -> httpx.Response:
        """Import a table of these lines."""
        token = await self.services.tokens.issue(who, "user", "test")
        content = "\r\n".join(lines).encode("utf-8-sig")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/csv"}
        return await self.http.post("/api/v1/users:import", params=query, content=content, headers=headers)

    async def done(self, *lines: str, who: str = "admin", **query: str) -> list[dict[str, Any]]:
        answer = await self.post(*lines, who=who, **query)
        assert answer.status_code == (200 if query.get("dry_run") else 201), answer.text
        users: list[dict[str, Any]] = answer.json()["users"]
        return users

    async def wrong(self, *lines: str, who: str = "admin", **query: str) -> list[str]:
        answer = await self.post(*lines, who=who, **query)
        assert answer.status_code == 422, answer.text
        assert "nobody was added" in answer.json()["detail"]
        found: list[str] = answer.json()["errors"]
        return found

    async def names(self) -> set[str]:
        return {one.name for one in (await self.services.users.list(self.admin, limit=500)).items}


@pytest.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(database_url, tmp_path, [FakeAgent()])
    await made.open()
    await made.watch.step()
    await made.fill()
    transport = httpx.ASGITransport(create_app(made.services))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=120) as http:
        made.http = http
        yield made
    await made.crash()


async def test_a_class_of_80_is_imported_within_seconds(site: Site) -> None:
    before = await site.names()
    shown = await site.done(HEADER, *students(80), dry_run="true")
    assert (len(shown), shown[7]["name"], shown[7]["project"]) == (80, "ml-07", "ml-101")
    assert await site.names() == before
    began = time.monotonic()
    made = await site.done(HEADER, *students(80))
    print(f"80 users in {time.monotonic() - began:.1f} s")
    assert len(await site.names()) == len(before) + 80
    assert {one["password"] for one in made} == {""}  # who wrote them knows them
    student = await site.services.users.get(site.admin, "ml-07")
    assert (student.full_name, student.email) == ("Student 7", "s7@snu.ac.kr")
    assert [(one.project, one.role) for one in student.projects] == [("ml-101", "member")]
    [policy] = await site.services.policies.list(site.admin)
    assert len(policy.holders or []) == 80
    with pytest.raises(PasswordChangeRequired):
        await site.services.sign_in.password("ml-07", f"{WORDS}-7", address="192.0.2.7")
    own = "another-word-of-mine"
    await site.services.sign_in.password("ml-07", f"{WORDS}-7", address="192.0.2.7", new_password=own)
    entries = (await site.services.audit.list(site.admin, limit=200)).items
    assert sum(one.action == "user.create" and one.target.startswith("ml-") for one in entries) == 80
    assert all(WORDS not in one.model_dump_json() for one in entries)


async def test_three_bad_rows_are_all_told_and_nobody_is_added(site: Site) -> None:
    before = await site.names()
    rows = students(20)
    rows[3] = rows[3].replace("ml-101", "ml-102")
    rows[8] = rows[8].replace(f"{WORDS}-8", "12345")
    rows[15] = f"kim,Kim,,ml-101,,nope,{WORDS},"
    found = await site.wrong(HEADER, *rows)
    assert [one.split(":")[0] for one in found] == [
        "line 5, project",
        "line 10, password",
        "line 17, account",
        "line 17, policy",
    ]
    assert "no project 'default/ml-102'" in found[0]
    assert "'kim' is taken" in found[2]
    assert found == await site.wrong(HEADER, *rows, dry_run="true")
    assert await site.names() == before


async def test_what_is_no_table_in_utf_8_is_refused(site: Site) -> None:
    token = await site.services.tokens.issue("admin", "admin", "test")
    text = f"{HEADER}\r\nkim2,김민수,,,,,{WORDS},\r\n"
    for encoding in ("utf-16", "cp949"):
        answer = await site.http.post(
            "/api/v1/users:import", content=text.encode(encoding), headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 422
        assert "CSV UTF-8" in answer.json()["errors"][0]
    large = await site.http.post(
        "/api/v1/users:import", content=bytes(5 << 20), headers={"Authorization": f"Bearer {token}"}
    )
    assert large.status_code == 413


async def test_of_two_imports_at_once_of_the_same_people_one_is_done(site: Site) -> None:
    rows = students(8)
    first, second = await asyncio.gather(site.post(HEADER, *rows), site.post(HEADER, *reversed(rows)))
    assert sorted([first.status_code, second.status_code]) == [201, 422]
    refused = first if first.status_code == 422 else second
    assert len(refused.json()["errors"]) == 8
    assert all("is taken" in one for one in refused.json()["errors"])
    names = await site.names()
    assert {f"ml-{at:02}" for at in range(8)} <= names


async def test_passwords_are_made_up_and_links_handed_out_where_there_is_no_mail(site: Site) -> None:
    rows = ["han,Han,,ml-101,,,,", "ryu,Ryu,ryu@snu.ac.kr,ml-101,viewer,,,yes"]
    assert "Give a first password" in (await site.wrong(HEADER, *rows))[0]
    han, ryu = await site.done(HEADER, *rows, make_up="true")
    assert (len(han["password"]), han["link"], ryu["password"], ryu["sent"]) == (20, "", "", "")
    with pytest.raises(PasswordChangeRequired):
        await site.services.sign_in.password("han", han["password"], address="192.0.2.7")
    await site.services.password_links.use(ryu["link"], WORDS, "192.0.2.7")
    await site.services.sign_in.password("ryu", WORDS, address="192.0.2.7")


async def test_accounts_that_are_there_join_when_asked_to_and_keep_what_they_are(site: Site) -> None:
    rows = [f"kim,Someone else,,ml-101,viewer,,{WORDS},", f"han,Han,,ml-101,,,{WORDS},"]
    assert "'kim' is taken" in (await site.wrong(HEADER, *rows))[0]
    kim, han = await site.done(HEADER, *rows, existing="join")
    assert (kim["existing"], han["existing"]) == (True, False)
    account = await site.services.users.get(site.admin, "kim")
    assert account.full_name == ""
    assert [(one.project, one.role) for one in account.projects] == [("default", "member"), ("ml-101", "viewer")]
    owner = f"admin,,,ml-101,viewer,,{WORDS},"
    await site.done(HEADER, owner, existing="join")
    members = await site.services.projects.members(site.admin, "default", "ml-101")
    assert {one.user: one.role for one in members}["admin"] == "owner"
    foreign = await site.wrong(HEADER, f"lee,,,ml-101,,,{WORDS},", existing="join")
    assert "'lee' is taken" in foreign[0]


async def test_an_administrator_of_a_domain_imports_into_it_only(site: Site) -> None:
    made = await site.done(HEADER, f"han,Han,,robots,maintainer,,{WORDS},", f"ryu,,,,,,{WORDS},", who="lee")
    assert [(one["name"], one["project"], one["role"]) for one in made] == [
        ("han", "snu/robots", "maintainer"),
        ("ryu", "snu/default", "member"),
    ]
    assert (await site.services.users.get(site.admin, "han")).domain == "snu"
    found = await site.wrong(HEADER, f"cho,,,default/ml-101,,class,{WORDS},", who="lee")
    assert [one.split(":")[0] for one in found] == ["line 2, project", "line 2, policy"]
    assert "Only an administrator gives policies" in found[1]
    assert (await site.post(HEADER, f"cho,,,,,,{WORDS},", who="lee", domain="default")).status_code == 404
    assert (await site.post(HEADER, f"cho,,,,,,{WORDS},", who="kim")).status_code == 403


async def test_very_many_first_passwords_are_refused_before_they_are_stored(site: Site) -> None:
    rows = [f"u{at},,,,,,{WORDS}-{at}," for at in range(251)]
    assert "At most 250 at once" in (await site.wrong(HEADER, *rows))[0]
    invited = [f"u{at},,u{at}@snu.ac.kr,,,,,yes" for at in range(2000)]
    assert len(await site.done(HEADER, *invited)) == 2000
