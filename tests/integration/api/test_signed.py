"""Requests that machines sign: taken once, as they were signed, by keys that are in force; everything else is 401."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from madang.api.app import create_app
from madang.domain.errors import NotFound
from madang.domain.people import Caller
from madang.domain.rights import Scope
from madang.domain.session import SessionState
from madang.domain.signing import authorization
from madang.schemas.machines import KeyCreate, NewKey
from tests.fakes import FakeAgent
from tests.world import World

SESSIONS = "/api/v1/sessions"
BODY = b'{"command": ["x"], "slots": {"cpu": "0.1", "mem": "64m"}}'


class Signed(World):
    http: httpx.AsyncClient
    ann: Caller

    async def key(self, *, scopes: list[Scope] | None = None, hours: int | None = None) -> NewKey:
        ends = None if hours is None else self.clock.now() + timedelta(hours=hours)
        return await self.services.keys.create(self.ann, KeyCreate(label="ci", scopes=scopes, expires_at=ends))

    def header(
        self,
        key: NewKey,
        method: str = "GET",
        target: str = SESSIONS,
        body: bytes = b"",
        hours: float = 0,
    ) -> dict[str, str]:
        now = self.clock.now() + timedelta(hours=hours)
        return {"Authorization": authorization(key.id, key.secret, method, target, body=body, now=now)}

    async def refused(self, said: str, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> None:
        answer = await self.http.request(method, target, headers=headers, content=body)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), answer.text
        assert said in answer.json()["detail"]


@pytest.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[Signed]:
    made = Signed(database_url, tmp_path, [FakeAgent()])
    await made.start()
    made.ann = await made.caller("ann", "user")
    transport = httpx.ASGITransport(create_app(made.services))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        made.http = http
        yield made
    await made.crash()


async def test_a_signed_request_does_what_one_with_a_token_does(site: Signed) -> None:
    key = await site.key()
    made = await site.http.post(SESSIONS, content=BODY, headers=site.header(key, "POST", SESSIONS, BODY))
    assert (made.status_code, made.json()["owner"]) == (201, "ann")
    target = f"{SESSIONS}?limit=5&state=pending&state=running"
    assert (await site.http.get(target, headers=site.header(key, target=target))).status_code == 200
    [listed] = await site.services.keys.list(site.ann)
    assert listed.last_used_at is not None
    assert "secret" not in listed.model_dump()


async def test_what_was_altered_on_the_way_is_refused_and_nothing_is_done(site: Signed) -> None:
    key = await site.key()
    header = site.header(key, "POST", SESSIONS, BODY)
    await site.refused("body is not the one", "POST", SESSIONS, header, BODY.replace(b'"x"', b'"y"'))
    await site.refused("does not fit", "POST", SESSIONS, site.header(key, "PUT", SESSIONS, BODY), BODY)
    await site.refused("does not fit", "POST", f"{SESSIONS}:plan", site.header(key, "POST", SESSIONS, BODY), BODY)
    await site.refused("does not fit", "GET", f"{SESSIONS}?limit=6", site.header(key, target=f"{SESSIONS}?limit=5"))
    await site.refused("body is not the one", "GET", SESSIONS, site.header(key), b"more")
    assert (await site.services.sessions.list(site.ann)).items == []


async def test_a_request_is_good_once_and_for_five_minutes(site: Signed) -> None:
    key = await site.key()
    header = site.header(key)
    answers = await asyncio.gather(*(site.http.get(SESSIONS, headers=header) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]
    await site.refused("sent before", "GET", SESSIONS, header)
    await site.refused("60 minutes ahead", "GET", SESSIONS, site.header(key, hours=1.001))
    await site.refused("60 minutes behind", "GET", SESSIONS, site.header(key, hours=-1))


async def test_only_a_key_in_force_with_its_own_secret_signs(site: Signed) -> None:
    key, other, short = await site.key(), await site.key(), await site.key(hours=1)
    mixed = other.model_copy(update={"id": key.id})
    await site.refused("does not fit", "GET", SESSIONS, site.header(mixed))
    unknown = key.model_copy(update={"id": "mdk_" + "x" * 20})
    await site.refused("not in force", "GET", SESSIONS, site.header(unknown))
    bob = await site.caller("bob", "user")
    with pytest.raises(NotFound, match="no signing key"):
        await site.services.keys.revoke(bob, key.id)
    await site.services.keys.revoke(site.ann, key.id)
    await site.refused("not in force", "GET", SESSIONS, site.header(key))
    site.clock.ahead = timedelta(hours=2)
    await site.refused("not in force", "GET", SESSIONS, site.header(short))
    narrow = await site.key(scopes=[Scope.USAGE_READ])
    assert (await site.http.get(SESSIONS, headers=site.header(narrow))).status_code == 403


async def test_files_and_archives_take_effect_only_as_they_were_signed(site: Signed) -> None:
    key = await site.key()
    session = await site.run(site.ann, "sleep")
    await site.until(site.ann, session.id, SessionState.RUNNING)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("a.txt")
        member.size = 3 << 20
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    good = buffer.getvalue()
    altered = good.replace(b"a.txt", b"b.txt", 1)
    container = site.agent.held[await site.container_of(session.id)]
    for method, place in (("PUT", f"{SESSIONS}/{session.id}/files/a.txt"), ("POST", "/api/v1/uploads")):
        before = dict(container.files)
        await site.refused("body is not the one", method, place, site.header(key, method, place, good), altered)
        assert container.files == before
        answer = await site.http.request(method, place, headers=site.header(key, method, place, good), content=good)
        assert answer.is_success, answer.text


async def test_what_a_key_opened_ends_when_it_is_revoked(site: Signed) -> None:
    key = await site.key()
    caller, _ = await site.services.keys.authenticate(site.header(key)["Authorization"], "GET", SESSIONS)
    assert caller.credential == key.id
    ended = asyncio.create_task(site.services.tokens.changed(caller))
    await asyncio.sleep(0.1)
    assert not ended.done()
    await site.services.keys.revoke(site.ann, key.id)
    await asyncio.wait_for(ended, 5)
