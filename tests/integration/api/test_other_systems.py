"""Signing in by a real directory and a real OpenID Connect provider, over HTTP."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from madang.api.app import create_app
from madang.api.server import ApiServer
from madang.config import Settings
from madang.domain.people import ProjectRole
from madang.loops.directories import DirectoryLoop
from madang.schemas.api import NewToken
from madang.schemas.openid import DevicePending
from madang.schemas.people import DomainCreate, MemberUpdate, ProjectCreate, UserCreate
from madang.sdk import AsyncClient
from madang.sdk.connection import Connection
from madang.services.identity.oidc import OidcSettings, OidcSource
from madang.services.identity.sources import SourceRules, Sources
from tests.conftest import open_directory
from tests.fakes import FakeAgent
from tests.openid import Provider, browse, require_provider
from tests.slapd import PEOPLE, READER, READER_PASSWORD, Directory, require_slapd
from tests.world import World

WORDS = "correct horse battery"
BASE = "http://127.0.0.1:9"
CALLBACK = f"{BASE}/api/v1/sign-in/openid/lab/callback"
GROUPS = '[[{kind}.groups]]\ngroup = "gpu"\nproject = "vision"\nrole = "maintainer"\n'


class Site(World):
    """A manager whose people come from elsewhere, and a client of it that has no credential."""

    http: httpx.AsyncClient

    async def fill(self, sources: Sources) -> None:
        self.settings = Settings(data_dir=self.settings.data_dir, launches=8, public_url=BASE)
        self.sources = sources
        await self.open()
        await self.watch.step()
        self.admin = await self.caller()
        await self.services.projects.create(self.admin, "default", ProjectCreate(name="vision"))
        transport = httpx.ASGITransport(create_app(self.services))
        self.http = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    async def end(self) -> None:
        await self.http.aclose()
        await self.crash()
        await self.sources.close()

    async def places(self, name: str) -> dict[str, str]:
        found = await self.services.users.get(self.admin, name)
        return {one.project: one.role.value for one in found.projects}

    async def me(self, token: str) -> httpx.Response:
        return await self.http.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})

    async def password(self, name: str, password: str = WORDS) -> httpx.Response:
        return await self.http.post("/api/v1/sign-in/token", json={"name": name, "password": password})

    async def begin(self, then: str = "/") -> httpx.Response:
        return await self.http.get("/api/v1/sign-in/openid/lab", params={"next": then})

    async def browser(self, name: str = "minji", password: str = WORDS) -> httpx.Response:
        """What somebody gets who signs in with a browser."""
        begun = await self.begin("/sessions?all=1")
        answer = await browse(begun.headers["location"], name, password, CALLBACK)
        return await self.come_back(begun, answer)

    async def come_back(self, begun: httpx.Response, answer: dict[str, str]) -> httpx.Response:
        return await self.http.get(
            urlsplit(CALLBACK).path, params=answer, headers={"Cookie": begun.headers["set-cookie"].partition(";")[0]}
        )


@pytest.fixture(scope="module")
def directory() -> Iterator[Directory]:
    require_slapd()
    home = open_directory()
    made = Directory(home)
    try:
        made.start()
        made.fill()
        yield made
    finally:
        made.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def provider() -> Iterator[Provider]:
    require_provider()
    home = open_directory()
    made = Provider(home)
    made.add("minji", WORDS, groups=["gpu"], name="김민지")
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(database_url, tmp_path, [FakeAgent()])
    yield made
    await made.end()


def written(path: Path, text: str) -> Path:
    file = path / "sign-in.toml"
    file.write_text(text)
    file.chmod(0o600)
    return file


async def with_directory(site: Site, directory: Directory, tmp_path: Path, more: str = "") -> Site:
    text = f"""
        [[ldap]]
        name = "lab"
        title = "The lab"
        url = "{directory.url}"
        ca_file = "{directory.home / "server.pem"}"
        user_base = "{PEOPLE}"
        bind_dn = "{READER}"
        bind_password = "{READER_PASSWORD}"
        disabled_filter = "(employeeType=disabled)"
        timeout_seconds = 2
        {more}
    """ + GROUPS.format(kind="ldap")
    await site.fill(Sources.open(written(tmp_path, text), site.clock))
    return site


async def with_provider(site: Site, provider: Provider, tmp_path: Path, more: str = "") -> Site:
    (tmp_path / "secret").write_text("the secret: of/madang+\n")
    (tmp_path / "secret").chmod(0o600)
    text = f"""
        [[oidc]]
        name = "lab"
        issuer = "{provider.issuer}"
        client_id = "madang"
        client_secret_file = "{tmp_path / "secret"}"
        {more}
    """ + GROUPS.format(kind="oidc")
    await site.fill(Sources.open(written(tmp_path, text), site.clock))
    return site


async def test_people_of_a_directory_sign_in_and_get_an_account(
    site: Site, directory: Directory, tmp_path: Path
) -> None:
    person = directory.add_person("minji", WORDS, cn="김민지")
    directory.set_groups(person, ["gpu", "others"])
    await with_directory(site, directory, tmp_path)
    for wrong in (await site.password("minji", "wrong"), await site.password("nobody-there")):
        assert (wrong.status_code, wrong.json()["detail"]) == (401, "The name or the password is wrong.")
    made = await site.password("Minji")
    assert made.status_code == 201, made.text
    me = (await site.me(made.json()["token"])).json()
    assert me["name"] == "minji"
    found = await site.services.users.get(site.admin, "minji")
    assert (found.full_name, found.email, found.domain, found.source) == (
        "김민지",
        "minji@lab.example",
        "default",
        "lab",
    )
    assert await site.places("minji") == {"default": "member", "vision": "maintainer"}
    ways = (await site.http.get("/api/v1/sign-in")).json()
    assert ways["sources"] == [{"name": "lab", "title": "The lab", "kind": "ldap", "device": False}]


async def test_groups_give_places_and_take_them_back_but_not_those_given_by_hand(
    site: Site, directory: Directory, tmp_path: Path
) -> None:
    person = directory.add_person("hana", WORDS)
    await with_directory(site, directory, tmp_path)
    token = (await site.password("hana")).json()["token"]
    assert await site.places("hana") == {"default": "member"}
    directory.set_groups(person, ["GPU"])
    await site.password("hana")
    assert await site.places("hana") == {"default": "member", "vision": "maintainer"}
    assert "vision" in {one["project"] for one in (await site.me(token)).json()["projects"]}
    directory.set_groups(person, [])
    await site.password("hana")
    assert await site.places("hana") == {"default": "member"}
    assert "vision" not in {one["project"] for one in (await site.me(token)).json()["projects"]}
    by_hand = MemberUpdate(role=ProjectRole.VIEWER)
    await site.services.projects.set_member(site.admin, "default", "vision", "hana", by_hand)
    for groups in (["gpu"], []):
        directory.set_groups(person, groups)
        await site.password("hana")
        assert await site.places("hana") == {"default": "member", "vision": "viewer"}


async def test_who_is_disabled_there_or_here_is_refused(site: Site, directory: Directory, tmp_path: Path) -> None:
    person = directory.add_person("sora", WORDS)
    await with_directory(site, directory, tmp_path)
    assert (await site.password("sora")).status_code == 201
    directory.change(person, {"employeeType": ["disabled"]})
    refused = await site.password("sora")
    assert refused.status_code == 401
    assert "disabled in the directory" in refused.json()["detail"]
    directory.change(person, {"employeeType": []})
    user = {"Authorization": f"Bearer {await site.services.tokens.issue('admin', 'admin', 'x')}"}
    await site.http.patch("/api/v1/users/sora", json={"active": False}, headers=user)
    refused = await site.password("sora")
    assert (refused.status_code, "disabled" in refused.json()["detail"]) == (401, True)
    directory.rename(person, "uid=sora2")
    assert (await site.password("sora")).status_code == 401


async def test_directories_are_asked_about_those_who_are_signed_in(
    site: Site, directory: Directory, tmp_path: Path
) -> None:
    person = directory.add_person("bora", WORDS)
    directory.add_person("gone", WORDS)
    await with_directory(site, directory, tmp_path)
    bora, gone = [(await site.password(name)).json()["token"] for name in ("bora", "gone")]
    loop = DirectoryLoop(site.settings, database=site.database, clock=site.clock, sources=site.sources)
    directory.set_groups(person, ["gpu"])
    directory.rename(person, "uid=bora2")
    directory.change(f"uid=gone,{PEOPLE}", {"employeeType": ["disabled"]})
    directory.stop()
    await loop.look()
    directory.start()
    assert (await site.me(gone)).status_code == 200, "a directory that is away says nothing"
    await loop.look()
    assert [(await site.me(token)).status_code for token in (bora, gone)] == [200, 401]
    assert await site.places("bora") == {"default": "member", "vision": "maintainer"}
    directory.remove(f"uid=bora2,{PEOPLE}")
    await loop.look()
    assert (await site.me(bora)).status_code == 401


async def test_a_name_that_is_taken_is_given_to_nobody_until_an_administrator_links_it(
    site: Site, directory: Directory, tmp_path: Path
) -> None:
    directory.add_person("jun", WORDS)
    await with_directory(site, directory, tmp_path)
    await site.services.users.create(site.admin, UserCreate(name="jun", email="jun@lab.example"))
    refused = await site.password("jun")
    assert refused.status_code == 401
    sentence = refused.json()["detail"]
    assert "madang user link jun lab" in sentence
    subject = sentence.split("'")[-2]
    admin = {"Authorization": f"Bearer {await site.services.tokens.issue('admin', 'admin', 'x')}"}
    for wrong in ({"source": "lab"}, {"source": "nowhere", "subject": subject}, {"source": "", "subject": "x"}):
        assert (await site.http.patch("/api/v1/users/jun", json=wrong, headers=admin)).status_code == 422
    linked = {"source": "lab", "subject": subject}
    mine = {"Authorization": f"Bearer {await site.services.tokens.issue('jun', 'user', 'x')}"}
    assert (await site.http.patch("/api/v1/users/jun", json=linked, headers=mine)).status_code == 403
    assert (await site.http.patch("/api/v1/users/jun", json=linked, headers=admin)).json()["source"] == "lab"
    assert (await site.http.patch("/api/v1/users/admin", json=linked, headers=admin)).status_code == 409
    assert (await site.password("jun")).status_code == 201


async def test_newcomers_stay_outside_where_the_source_makes_no_accounts(
    site: Site, directory: Directory, tmp_path: Path
) -> None:
    directory.add_person("new", WORDS)
    await with_directory(site, directory, tmp_path, "create = false")
    refused = await site.password("new")
    assert refused.status_code == 401
    assert "no account here" in refused.json()["detail"]


async def test_newcomers_belong_to_the_domain_of_their_source(site: Site, directory: Directory, tmp_path: Path) -> None:
    directory.add_person("yuna", WORDS)
    await with_directory(site, directory, tmp_path, 'domain = "snu"')
    refused = await site.password("yuna")
    assert refused.status_code == 503
    assert "'snu' that is not there" in refused.json()["detail"]
    await site.services.domains.create(site.admin, DomainCreate(name="snu"))
    assert (await site.password("yuna")).status_code == 201
    assert await site.places("yuna") == {"snu/default": "member"}


async def test_a_directory_that_is_away_is_told(site: Site, directory: Directory, tmp_path: Path) -> None:
    directory.add_person("dana", WORDS)
    await with_directory(site, directory, tmp_path)
    directory.stop()
    try:
        away = await site.password("dana")
    finally:
        directory.start()
    assert away.status_code == 503
    assert "'lab'" in away.json()["detail"]
    assert "does not answer" in away.json()["detail"]
    assert (await site.password("dana")).status_code == 201


async def test_a_browser_goes_to_the_provider_and_comes_back_signed_in(
    site: Site, provider: Provider, tmp_path: Path
) -> None:
    await with_provider(site, provider, tmp_path)
    begun = await site.begin("/sessions?all=1")
    assert begun.status_code == 303
    kept = begun.headers["set-cookie"]
    assert kept.startswith("__Host-madang-openid=")
    assert {"Secure", "HttpOnly", "SameSite=lax", "Path=/"} <= {part.strip() for part in kept.split(";")}
    answer = await browse(begun.headers["location"], "minji", WORDS, CALLBACK)
    done = await site.come_back(begun, answer)
    assert (done.status_code, done.headers["location"]) == (303, "/sessions?all=1")
    cookie = next(one for one in done.headers.get_list("set-cookie") if one.startswith("__Host-madang="))
    me = await site.http.get("/api/v1/me", headers={"Cookie": cookie.partition(";")[0]})
    assert me.json()["name"] == "minji"
    assert await site.places("minji") == {"default": "member", "vision": "maintainer"}
    again = await site.come_back(begun, answer)
    assert again.status_code == 401
    assert "used before" in again.json()["detail"]
    provider.add("minji", WORDS, groups=[])
    assert (await site.browser()).status_code == 303
    assert await site.places("minji") == {"default": "member"}


async def test_a_browser_that_did_not_begin_is_signed_in_as_nobody(
    site: Site, provider: Provider, tmp_path: Path
) -> None:
    await with_provider(site, provider, tmp_path)
    begun, other = await site.begin(), await site.begin()
    answer = await browse(begun.headers["location"], "minji", WORDS, CALLBACK)
    path = urlsplit(CALLBACK).path
    site.http.cookies.clear()
    assert (await site.http.get(path, params=answer)).status_code == 401
    forged = {"Cookie": "__Host-madang-openid=s1.made.up"}
    assert (await site.http.get(path, params=answer, headers=forged)).status_code == 401
    assert (await site.come_back(other, answer)).status_code == 401
    site.clock.ahead = timedelta(minutes=11)
    late = await site.come_back(begun, answer)
    assert (late.status_code, "set-cookie" in late.headers) == (401, True)
    assert all(not one.startswith("__Host-madang=") for one in late.headers.get_list("set-cookie"))


@pytest.mark.parametrize(
    "then", ["https://evil.example", "//evil.example", "/\\evil.example", "evil", "", "/a\nb", "javascript:x"]
)
async def test_nobody_is_led_to_another_server(site: Site, provider: Provider, tmp_path: Path, then: str) -> None:
    await with_provider(site, provider, tmp_path)
    assert (await site.begin(then)).status_code == 422


async def test_a_provider_that_refuses_somebody_is_told_and_an_unknown_one_is_not_there(
    site: Site, provider: Provider, tmp_path: Path
) -> None:
    await with_provider(site, provider, tmp_path)
    provider.accounts["minji"]["disabled"] = True
    provider.save()
    refused = await site.browser()
    assert refused.status_code == 401
    assert "did not sign you in: this account is disabled" in refused.json()["detail"]
    for method, path in (("GET", ""), ("GET", "/callback"), ("POST", "/device")):
        found = await site.http.request(method, f"/api/v1/sign-in/openid/nowhere{path}")
        assert found.status_code == 404
    provider.stop()
    away = await site.begin()
    assert away.status_code in (303, 503)
    site.clock.ahead = timedelta(hours=2)
    away = await site.begin()
    assert away.status_code == 503
    assert "does not answer" in away.json()["detail"]


async def test_a_terminal_signs_in_by_a_code_that_is_typed_elsewhere(
    site: Site, provider: Provider, tmp_path: Path
) -> None:
    await with_provider(site, provider, tmp_path)
    path = "/api/v1/sign-in/openid/lab/device"
    begun = (await site.http.post(path)).json()
    assert begun["user_code"] in begun["verification_uri_complete"]
    assert begun["interval"] >= 1
    poll = {"handle": begun["handle"], "label": "laptop"}
    pending = await site.http.post(f"{path}/poll", json=poll)
    assert (pending.status_code, pending.json()["status"]) == (202, "pending")
    await browse(begun["verification_uri_complete"], "minji", WORDS)
    soon = await site.http.post(f"{path}/poll", json=poll)
    assert soon.status_code == 202, "the interval is not over"
    site.clock.ahead = timedelta(seconds=begun["interval"])
    done = await site.http.post(f"{path}/poll", json=poll)
    assert done.status_code == 201, done.text
    assert (await site.me(done.json()["token"])).json()["name"] == "minji"
    assert done.json()["label"] == "laptop"
    assert (await site.http.post(f"{path}/poll", json=poll)).status_code == 401
    altered = await site.http.post(f"{path}/poll", json={"handle": begun["handle"][:-4] + "AAAA"})
    assert altered.status_code == 401


async def test_the_client_signs_in_by_a_code(site: Site, provider: Provider, tmp_path: Path) -> None:
    await with_provider(site, provider, tmp_path)
    server = ApiServer.open(create_app(site.services), "127.0.0.1", 0)
    await server.start()
    try:
        async with AsyncClient(connection=Connection(url=server.url)) as client:
            assert [one.device for one in (await client.login.ways()).sources] == [True]
            begun = await client.login.device("lab")
            pending = await client.login.poll("lab", begun.handle)
            assert isinstance(pending, DevicePending)
            await browse(begun.verification_uri_complete or "", "minji", WORDS)
            site.clock.ahead = timedelta(seconds=begun.interval)
            made = await client.login.poll("lab", pending.handle, "laptop")
            assert isinstance(made, NewToken)
        async with AsyncClient(server.url, made.token) as client:
            assert (await client.me()).name == "minji"
    finally:
        await server.stop()


class Altered(httpx.AsyncBaseTransport):
    """The way to a provider, on which somebody alters ID tokens."""

    def __init__(self, how: str) -> None:
        self._how = how
        self._way = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._way.handle_async_request(request)
        body = await response.aread()
        found: dict[str, Any] = json.loads(body)
        if "id_token" in found:
            head, claims, signature = found["id_token"].split(".")
            changed = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"sub": "admin"}
            if self._how == "none":
                head, signature = _packed({"alg": "none"}), ""
            found["id_token"] = f"{head}.{_packed(changed)}.{signature}"
            body = json.dumps(found).encode()
        return httpx.Response(response.status_code, content=body)

    async def aclose(self) -> None:
        await self._way.aclose()


def _packed(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize("how", ["none", "altered"])
async def test_a_token_that_the_provider_did_not_sign_lets_nobody_in(site: Site, provider: Provider, how: str) -> None:
    settings = OidcSettings("lab", provider.issuer, "madang", "the secret: of/madang+")
    source = OidcSource(settings, site.clock, Altered(how))
    await site.fill(Sources(openid={"lab": source}, rules={"lab": SourceRules("lab", "oidc", "lab")}))
    refused = await site.browser()
    assert refused.status_code == 401
    assert "cannot be trusted" in refused.json()["detail"]
    assert all(not one.startswith("__Host-madang=") for one in refused.headers.get_list("set-cookie"))
