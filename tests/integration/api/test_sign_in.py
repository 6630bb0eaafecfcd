"""Signing in through the public API: passwords, browsers, and how guessing is slowed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from madang.db.engine import Transaction
from madang.db.tables import users
from madang.domain.errors import Unauthorized
from madang.schemas.people import DomainCreate, DomainUpdate, UserCreate, UserUpdate
from tests.doors import ANOTHER, COOKIE, PASSWORD, Browser, Site


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


async def test_a_closed_domain_signs_nobody_in(site: Site) -> None:
    await site.services.domains.create(site.admin, DomainCreate(name="snu"))
    await site.services.users.create(site.admin, UserCreate(name="cho", domain="snu"))
    await site.set_password("cho", PASSWORD)
    await site.services.domains.change(site.admin, "snu", DomainUpdate(active=False))
    assert (await site.sign_in("cho", PASSWORD)).status_code == 401
