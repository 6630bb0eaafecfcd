"""One's own password and second factor, links, mail and signing up, through the public API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pyotp
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from madang.config import Settings
from madang.domain.errors import StartupError
from madang.schemas.people import UserCreate
from tests.doors import ANOTHER, PASSWORD, Site, opened
from tests.fakes import FakeAgent
from tests.world import World, eventually


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
    async for site in opened(made):
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
