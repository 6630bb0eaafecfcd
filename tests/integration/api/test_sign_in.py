"""Signing in through the public API: passwords, browsers, second factors, links, mail, signing up."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi import FastAPI
from sqlalchemy import update

from madang.api.app import create_app
from madang.config import Settings
from madang.db.engine import Transaction
from madang.db.tables import users
from madang.domain.errors import StartupError, Unauthorized
from madang.schemas.people import DomainCreate, DomainUpdate, UserCreate, UserUpdate
from tests.fakes import FakeAgent
from tests.world import World, eventually

PASSWORD = "correct horse battery"
ANOTHER = "staple of wide rivers"
COOKIE = "__Host-madang"


class Site(World):
    """A server with the account kim, reached as everybody reaches it."""

    app: FastAPI
    http: httpx.AsyncClient

    async def fill(self) -> None:
        self.admin_token = await self.services.tokens.issue("admin", "admin", "test")
        self.admin = await self.services.tokens.authenticate(self.admin_token)
        await self.services.users.create(self.admin, UserCreate(name="kim", email="kim@lab.example"))
        self.app = create_app(self.services)
        self.http = self.client()
        await self.set_password("kim", PASSWORD)

    def client(self, address: str = "127.0.0.1") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    async def as_admin(self, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        return await self.http.request(method, f"/api/v1{path}", json=body, headers=headers)

    async def first_password(self, name: str) -> str:
        answer = await self.as_admin("POST", f"/users/{name}/password")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["password"])

    async def set_password(self, name: str, password: str) -> None:
        first = await self.first_password(name)
        answer = await self.sign_in(name, first, new_password=password)
        assert answer.status_code == 201, answer.text

    async def sign_in(self, name: str, password: str, how: str = "token", **more: str) -> httpx.Response:
        body = {"name": name, "password": password, **more}
        async with self.client() as http:
            return await http.post(f"/api/v1/sign-in/{how}", json=body)

    async def browser(self, name: str = "kim", password: str = PASSWORD) -> Browser:
        answer = await self.sign_in(name, password, "browser")
        assert answer.status_code == 200, answer.text
        return Browser(self, answer.headers["set-cookie"].partition(";")[0], answer.json()["csrf"])

    async def ask(self, token: str, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return await self.http.request(method, f"/api/v1{path}", json=body, headers=headers)


class Browser:
    """What a browser would send: its cookie, and what a page adds."""

    def __init__(self, site: Site, cookie: str, csrf: str) -> None:
        self._site = site
        self.cookie = cookie
        self.csrf = csrf

    async def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        sent = {"Cookie": self.cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self._site.http.request(method, f"/api/v1{path}", json=body, headers=sent)


@pytest.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    async for made in _site(Site(database_url, tmp_path, [FakeAgent()])):
        yield made


async def _site(made: Site) -> AsyncIterator[Site]:
    await made.open()
    await made.fill()
    yield made
    await made.http.aclose()
    made.services.sign_in.close()
    await made.crash()


async def test_the_right_password_gives_a_token_that_works(site: Site) -> None:
    answer = await site.sign_in("Kim ", PASSWORD, label="laptop")
    assert answer.status_code == 201, answer.text
    assert (answer.json()["kind"], answer.json()["label"]) == ("token", "laptop")
    assert (await site.ask(answer.json()["token"], "GET", "/me")).json()["name"] == "kim"
    assert (await site.ask(answer.json()["token"], "GET", "/me/account")).json()["last_sign_in_at"] is not None
    audit = await site.as_admin("GET", "/audit?action=sign_in")
    assert audit.json()["items"][0]["after"] == {"how": "password", "kind": "token"}


async def test_nothing_tells_a_wrong_password_from_a_name_that_nobody_has(site: Site) -> None:
    wrong, unknown = await site.sign_in("kim", "wrong"), await site.sign_in("nobody", "wrong")
    robot = await site.sign_in("kim\0", PASSWORD)
    assert [one.status_code for one in (wrong, unknown, robot)] == [401, 401, 401]
    assert wrong.json() == unknown.json() == robot.json()


async def test_an_account_without_a_password_cannot_be_entered_by_one(site: Site) -> None:
    assert (await site.sign_in("admin", "")).status_code == 422
    assert (await site.sign_in("admin", "anything at all")).status_code == 401


async def test_disabled_accounts_and_domains_are_told_only_to_who_knows_the_password(site: Site) -> None:
    await site.services.users.change(site.admin, "kim", UserUpdate(active=False))
    assert "disabled" in (await site.sign_in("kim", PASSWORD)).json()["detail"]
    assert "disabled" not in (await site.sign_in("kim", "wrong")).json()["detail"]
    await site.services.users.change(site.admin, "kim", UserUpdate(active=True))
    assert (await site.sign_in("kim", PASSWORD)).status_code == 201


async def test_nobody_is_admitted_as_a_disabled_account_or_a_robot(site: Site) -> None:
    kim = (await site.services.users.get(site.admin, "kim")).id
    robots = await site.services.projects.get(site.admin, "default", "default")

    async def make_robot(transaction: Transaction) -> None:
        values = update(users).where(users.c.id == kim).values(robot_of=robots.id)
        await transaction.connection.execute(values)

    await site.database.transaction(make_robot, "test")
    assert (await site.sign_in("kim", PASSWORD)).status_code == 401
    with pytest.raises(Unauthorized):
        await site.services.sign_in.admit(kim, kind="token", label="x", address="", how="test")


async def test_guessing_is_slowed_and_forgiven_after_the_wait(site: Site) -> None:
    for _ in range(5):
        assert (await site.sign_in("kim", "wrong")).status_code == 401
    refused = await site.sign_in("kim", PASSWORD)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_attempts")
    site.clock.ahead += timedelta(seconds=int(refused.headers["retry-after"]))
    assert (await site.sign_in("kim", PASSWORD)).status_code == 201
    assert (await site.sign_in("kim", "wrong")).status_code == 401


async def test_a_first_password_is_only_good_to_choose_another(site: Site) -> None:
    first = await site.first_password("kim")
    refused = await site.sign_in("kim", first)
    assert (refused.status_code, refused.json()["code"]) == (403, "password_change_required")
    assert (await site.sign_in("kim", first, new_password="short")).status_code == 422
    assert (await site.sign_in("kim", first, new_password=first)).status_code == 422
    assert (await site.sign_in("kim", first, new_password=ANOTHER)).status_code == 201
    assert (await site.sign_in("kim", ANOTHER)).status_code == 201
    assert (await site.sign_in("kim", first)).status_code == 401


async def test_a_browser_needs_its_cookie_and_its_csrf_value(site: Site) -> None:
    signed_in = await site.sign_in("kim", PASSWORD, "browser")
    flags = signed_in.headers["set-cookie"].lower()
    assert all(flag in flags for flag in ("__host-madang=mdb_", "secure", "httponly", "samesite=lax", "path=/"))
    browser = await site.browser()
    assert (await browser.send("GET", "/me")).json()["csrf"] == browser.csrf
    change = ("POST", "/tokens", {"label": "x"})
    missing = await browser.send(*change)
    assert (missing.status_code, missing.json()["code"]) == (403, "cross_site")
    assert (await browser.send(*change, X_CSRF_Token="0" * 64)).status_code == 403
    other = {"X_CSRF_Token": browser.csrf, "Origin": "http://evil.example"}
    assert (await browser.send(*change, **other)).status_code == 403
    assert (await browser.send(*change, X_CSRF_Token=browser.csrf)).status_code == 201
    ours = {"X_CSRF_Token": browser.csrf, "Origin": "http://127.0.0.1"}
    assert (await browser.send(*change, **ours)).status_code == 201


async def test_pages_elsewhere_cannot_sign_a_browser_in(site: Site) -> None:
    body = {"name": "kim", "password": PASSWORD}
    answer = await site.http.post("/api/v1/sign-in/browser", json=body, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403


async def test_tokens_and_cookies_do_not_pass_for_one_another(site: Site) -> None:
    browser = await site.browser()
    assert (await site.ask(browser.cookie.partition("=")[2], "GET", "/me")).status_code == 401
    token = (await site.sign_in("kim", PASSWORD)).json()["token"]
    assert (await Browser(site, f"{COOKIE}={token}", "").send("GET", "/me")).status_code == 401


async def test_a_stolen_cookie_is_worth_nothing_after_signing_out(site: Site) -> None:
    browser = await site.browser()
    kept = [one for one in (await browser.send("GET", "/tokens")).json()["items"] if one["kind"] == "browser"]
    assert len(kept) == 1
    assert (await browser.send("DELETE", "/sign-in")).status_code == 403
    out = await browser.send("DELETE", "/sign-in", X_CSRF_Token=browser.csrf)
    assert (out.status_code, "max-age=0" in out.headers["set-cookie"].lower()) == (204, True)
    assert (await browser.send("GET", "/me")).status_code == 401


async def test_signing_a_token_out_ends_what_it_watches(site: Site) -> None:
    token = (await site.sign_in("kim", PASSWORD)).json()["token"]
    caller = await site.services.tokens.authenticate(token)
    watched = asyncio.create_task(site.services.tokens.changed(caller))
    assert (await site.ask(token, "DELETE", "/sign-in")).status_code == 204
    await asyncio.wait_for(watched, 5)
    assert (await site.ask(token, "GET", "/me")).status_code == 401


async def test_an_idle_browser_is_signed_out_and_a_busy_one_at_the_end(site: Site) -> None:
    idle, busy = await site.browser(), await site.browser()
    for _ in range(6):
        site.clock.ahead += timedelta(hours=60)
        site.services.tokens._remembered.clear()
        busy_answer = await busy.send("GET", "/me")
        site.services.tokens._remembered.clear()
        if busy_answer.status_code == 401:
            break
    assert busy_answer.status_code == 401
    assert site.clock.ahead > timedelta(days=14)
    assert (await idle.send("GET", "/me")).status_code == 401


@pytest.mark.parametrize(("origin", "status"), [(None, 403), ("http://evil.example", 403), ("http://127.0.0.1", 404)])
async def test_a_socket_with_a_cookie_has_to_come_from_our_own_page(
    site: Site, origin: str | None, status: int
) -> None:
    browser = await site.browser()
    headers = [(b"host", b"127.0.0.1"), (b"cookie", browser.cookie.encode())]
    headers += [] if origin is None else [(b"origin", origin.encode())]
    path = "/api/v1/sessions/none/exec"
    scope: dict[str, Any] = {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "subprotocols": [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "ws",
        "root_path": "",
        "extensions": {"websocket.http.response": {}},
    }
    coming: Iterator[dict[str, Any]] = itertools.chain(
        [{"type": "websocket.connect"}], itertools.repeat({"type": "websocket.disconnect", "code": 1000})
    )
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return next(coming)

    async def send(message: Any) -> None:
        sent.append(message)

    await asyncio.wait_for(site.app(scope, receive, send), 10)
    assert sent[0].get("status") == status


async def test_changing_the_password_needs_the_old_one_and_may_sign_others_out(site: Site) -> None:
    mine, other = [(await site.sign_in("kim", PASSWORD)).json()["token"] for _ in range(2)]
    change = {"old_password": "wrong", "new_password": ANOTHER}
    assert (await site.ask(mine, "PUT", "/me/password", change)).status_code == 422
    assert (await site.ask(mine, "PUT", "/me/password", {**change, "old_password": PASSWORD})).status_code == 204
    assert (await site.ask(other, "GET", "/me")).status_code == 200
    back = {"old_password": ANOTHER, "new_password": PASSWORD, "sign_out_others": True}
    assert (await site.ask(mine, "PUT", "/me/password", back)).status_code == 204
    assert (await site.ask(other, "GET", "/me")).status_code == 401
    assert (await site.ask(mine, "GET", "/me")).status_code == 200


async def _enrol(site: Site, token: str) -> tuple[pyotp.TOTP, list[str]]:
    begun = await site.ask(token, "POST", "/me/second-factor", {"password": PASSWORD})
    assert begun.status_code == 200, begun.text
    app = pyotp.parse_uri(begun.json()["uri"])
    assert isinstance(app, pyotp.TOTP)
    confirm = {"enrolment": begun.json()["enrolment"], "code": app.at(site.clock.now())}
    assert (await site.ask(token, "PUT", "/me/second-factor", {**confirm, "code": "000000"})).status_code == 422
    done = await site.ask(token, "PUT", "/me/second-factor", confirm)
    assert done.status_code == 200, done.text
    return app, done.json()["recovery_codes"]


async def test_with_a_second_factor_the_password_is_not_enough_and_codes_are_good_once(site: Site) -> None:
    token = (await site.sign_in("kim", PASSWORD)).json()["token"]
    app, recovery = await _enrol(site, token)
    alone = await site.sign_in("kim", PASSWORD)
    assert (alone.status_code, alone.json()["code"]) == (401, "second_factor_required")
    assert (await site.sign_in("kim", PASSWORD, code=app.at(site.clock.now()))).status_code == 401  # confirmed with it
    site.clock.ahead += timedelta(seconds=60)
    code = app.at(site.clock.now())
    both = await asyncio.gather(*(site.sign_in("kim", PASSWORD, code=code) for _ in range(2)))
    assert sorted(one.status_code for one in both) == [201, 401]
    assert (await site.sign_in("kim", PASSWORD, code=recovery[0])).status_code == 201
    assert (await site.sign_in("kim", PASSWORD, code=recovery[0])).status_code == 401
    assert (await site.ask(token, "GET", "/me/account")).json()["recovery_codes"] == len(recovery) - 1


async def test_asking_without_a_code_does_not_forgive_wrong_ones(site: Site) -> None:
    token = (await site.sign_in("kim", PASSWORD)).json()["token"]
    await _enrol(site, token)
    answers = [await site.sign_in("kim", PASSWORD, **({"code": "000000"} if n % 2 else {})) for n in range(6)]
    assert [one.status_code for one in answers] == [401] * 5 + [429]


async def test_a_second_factor_is_removed_with_the_password_or_by_an_administrator(site: Site) -> None:
    token = (await site.sign_in("kim", PASSWORD)).json()["token"]
    await _enrol(site, token)
    assert (await site.ask(token, "POST", "/me/second-factor/remove", {})).status_code == 422
    assert (await site.ask(token, "POST", "/me/second-factor/remove", {"password": "wrong"})).status_code == 422
    assert (await site.ask(token, "POST", "/me/second-factor/remove", {"password": PASSWORD})).status_code == 204
    await _enrol(site, token)
    assert (await site.as_admin("DELETE", "/users/kim/second-factor")).status_code == 204
    assert (await site.as_admin("DELETE", "/users/kim/second-factor")).status_code == 409
    assert (await site.sign_in("kim", PASSWORD)).status_code == 201


async def test_a_domain_administrator_does_not_set_the_password_of_an_administrator(site: Site) -> None:
    await site.services.users.create(site.admin, UserCreate(name="lee", role="domain_admin"))
    lee = await site.services.tokens.issue("lee", "user", "test")
    for method, path in (("POST", "password"), ("POST", "password-link"), ("DELETE", "second-factor")):
        assert (await site.ask(lee, method, f"/users/admin/{path}")).status_code == 403
    assert (await site.ask(lee, "POST", "/users/kim/password")).status_code == 200


async def test_a_limited_token_cannot_get_more_by_setting_the_password_of_somebody(site: Site) -> None:
    body = {"label": "accounts", "scopes": ["people:read", "people:write"]}
    narrow = (await site.as_admin("POST", "/tokens", body)).json()["token"]
    for method, path in (("POST", "password"), ("POST", "password-link"), ("DELETE", "second-factor")):
        assert (await site.ask(narrow, method, f"/users/kim/{path}")).status_code == 403


async def test_a_link_sets_a_password_once_also_when_two_use_it_at_once(site: Site) -> None:
    browser = await site.browser()
    link = (await site.as_admin("POST", "/users/kim/password-link")).json()["link"]
    assert link.startswith("http://127.0.0.1/set-password#mdl_")
    use = "/api/v1/sign-in/password-link/use"
    assert (await site.http.post(use, json={"link": link[:-3], "new_password": ANOTHER})).status_code == 422
    assert (await site.http.post(use, json={"link": link, "new_password": "short"})).status_code == 422
    body = {"link": link, "new_password": ANOTHER}
    both = await asyncio.gather(*(site.http.post(use, json=body) for _ in range(2)))
    assert sorted(one.status_code for one in both) == [204, 401]
    assert (await site.sign_in("kim", ANOTHER)).status_code == 201
    assert (await browser.send("GET", "/me")).status_code == 401


async def test_links_are_void_when_they_are_old_or_the_password_was_changed(site: Site) -> None:
    old = (await site.as_admin("POST", "/users/kim/password-link")).json()["link"]
    await site.set_password("kim", ANOTHER)
    use = "/api/v1/sign-in/password-link/use"
    assert (await site.http.post(use, json={"link": old, "new_password": PASSWORD})).status_code == 401
    late = (await site.as_admin("POST", "/users/kim/password-link")).json()["link"]
    site.clock.ahead += timedelta(days=3, seconds=1)
    assert (await site.http.post(use, json={"link": late, "new_password": PASSWORD})).status_code == 401


async def test_without_mail_its_routes_are_not_there(site: Site) -> None:
    ways = (await site.http.get("/api/v1/sign-in")).json()
    assert ways == {"password": True, "sign_up": False, "password_link": False, "sources": []}
    assert (await site.http.post("/api/v1/sign-in/password-link", json={"name": "kim"})).status_code == 404
    assert (await site.http.post("/api/v1/sign-up", json={})).status_code == 404
    assert "/api/v1/sign-up" not in (await site.http.get("/api/v1/openapi.json")).text


class Inbox:
    """What a mail server took."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        letter = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        return "250 OK"

    async def link(self) -> str:
        """The link of the next letter."""

        async def come() -> str | None:
            return self.letters.pop(0).get_content() if self.letters else None

        text = await eventually(come)
        return next(word for word in text.split() if "#mdl_" in word)


@pytest.fixture
async def inbox() -> AsyncIterator[tuple[Inbox, int]]:
    box = Inbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(box), "127.0.0.1", 0)
    yield box, server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def mailing(database_url: str, tmp_path: Path, inbox: tuple[Inbox, int]) -> AsyncIterator[Site]:
    made = Site(database_url, tmp_path, [FakeAgent()])
    made.settings = _mail_settings(tmp_path, inbox[1], sign_up=True)
    async for site in _site(made):
        yield site


def _mail_settings(data_dir: Path, port: int, *, sign_up: bool) -> Settings:
    return Settings(
        data_dir=data_dir,
        smtp_url=f"smtp://127.0.0.1:{port}",
        mail_from="Madang <madang@lab.example>",
        public_url="https://gpu.lab.example",
        sign_up=sign_up,
    )


async def test_a_forgotten_password_is_set_by_a_link_in_the_mail(mailing: Site, inbox: tuple[Inbox, int]) -> None:
    ask = "/api/v1/sign-in/password-link"
    assert (await mailing.http.post(ask, json={"name": "nobody"})).status_code == 204
    korean = {"Accept-Language": "ko-KR,ko;q=0.9"}
    assert (await mailing.http.post(ask, json={"name": "kim"}, headers=korean)).status_code == 204

    async def come() -> EmailMessage | None:
        return inbox[0].letters[0] if inbox[0].letters else None

    letter = await eventually(come)
    assert (letter["To"], "비밀번호" in letter["Subject"]) == ("kim@lab.example", True)
    link = await inbox[0].link()
    assert link.startswith("https://gpu.lab.example/set-password#")
    assert (await mailing.http.post(f"{ask}/use", json={"link": link, "new_password": ANOTHER})).status_code == 204
    assert (await mailing.sign_in("kim", ANOTHER)).status_code == 201


async def test_who_signs_up_gets_an_account_when_the_address_is_confirmed(
    mailing: Site, inbox: tuple[Inbox, int]
) -> None:
    body = {"name": "park", "email": "park@lab.example", "password": PASSWORD, "full_name": "Park"}
    assert (await mailing.http.post("/api/v1/sign-up", json={**body, "name": "kim"})).status_code == 409
    assert (await mailing.http.post("/api/v1/sign-up", json={**body, "password": "short"})).status_code == 422
    assert (await mailing.http.post("/api/v1/sign-up", json=body)).status_code == 204
    assert (await mailing.sign_in("park", PASSWORD)).status_code == 401
    link = await inbox[0].link()
    made = await asyncio.gather(*(mailing.http.post("/api/v1/sign-up/confirm", json={"link": link}) for _ in range(2)))
    assert sorted(one.status_code for one in made) == [201, 401]
    assert (await mailing.sign_in("park", PASSWORD)).status_code == 201
    assert (await mailing.services.users.get(mailing.admin, "park")).email == "park@lab.example"


async def test_mail_that_is_half_set_up_keeps_the_server_from_starting(database_url: str, tmp_path: Path) -> None:
    halves: list[dict[str, Any]] = [
        {"sign_up": True},
        {"smtp_url": "smtp://127.0.0.1"},
        {"smtp_url": "http://x", "mail_from": "a@b.example", "public_url": "https://x.example"},
    ]
    for half in halves:
        made = World(database_url, tmp_path, [FakeAgent()])
        made.settings = Settings(data_dir=tmp_path, **half)
        with pytest.raises(StartupError):
            await made.open()
        await made.crash()


async def test_a_server_with_another_key_refuses_to_start_once_something_is_sealed(site: Site, tmp_path: Path) -> None:
    await site.services.site_key.claim()
    other = World(site.url, tmp_path / "other", [FakeAgent()])
    (tmp_path / "other").mkdir()
    await other.open()
    await other.services.site_key.claim()
    await site.services.site_key.claim()
    await _enrol(site, (await site.sign_in("kim", PASSWORD)).json()["token"])
    with pytest.raises(StartupError, match="sealed with another key"):
        await other.services.site_key.claim()
    await site.services.site_key.claim()
    await other.crash()


async def test_a_closed_domain_signs_nobody_in(site: Site) -> None:
    await site.services.domains.create(site.admin, DomainCreate(name="snu"))
    await site.services.users.create(site.admin, UserCreate(name="cho", domain="snu"))
    await site.set_password("cho", PASSWORD)
    await site.services.domains.change(site.admin, "snu", DomainUpdate(active=False))
    assert (await site.sign_in("cho", PASSWORD)).status_code == 401
