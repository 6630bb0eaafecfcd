"""Streams: nothing is lost or repeated, whoever goes away, and they end when they should."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import httpx
import pytest

from madang.domain.errors import NotFound, Unavailable
from madang.domain.session import SessionState
from madang.schemas.api import LogEvent
from madang.sdk import AsyncClient, Client, LogPiece, NoServer
from tests.fake_platform import FakePlatform


def make(platform: FakePlatform, *lines: bytes) -> str:
    """A running session that has written `lines`."""
    with Client(platform.url, platform.token) as client:
        ref = client.sessions.create(["job"]).id
    for line in lines:
        platform.do(platform.sessions.say(ref, line))
    return ref


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the condition was never met"
        time.sleep(0.005)


def test_the_stream_has_ids_that_resume_and_ends_with_end(platform: FakePlatform, http: httpx.Client) -> None:
    ref = make(platform, b"one\n", b"two\n", b"\xff\xfe")
    platform.do(platform.sessions.end(ref))
    response = http.get(f"/api/v1/sessions/{ref}/logs")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = response.text.split("\n\n")
    assert events[1].startswith("id: 4\nevent: log\ndata: ")
    assert events[-2:] == ["event: end\ndata: {}", ""]
    pieces = [LogEvent.model_validate_json(event.partition("data: ")[2]) for event in events[1:-2]]
    assert [piece.text for piece in pieces] == ["one\n", "two\n", None]
    assert base64.b64decode(pieces[2].base64 or "") == b"\xff\xfe"
    for resumed in (
        http.get(f"/api/v1/sessions/{ref}/logs", headers={"Last-Event-ID": "4"}),
        http.get(f"/api/v1/sessions/{ref}/logs", params={"cursor": 4}),
        http.get(f"/api/v1/sessions/{ref}/logs", params={"cursor": 0}, headers={"Last-Event-ID": "4"}),
    ):
        assert resumed.text.split("\n\n")[1:] == events[2:]


def test_a_resume_point_that_is_none_is_refused(platform: FakePlatform, http: httpx.Client) -> None:
    ref = make(platform)
    for path in ("logs", "events"):
        response = http.get(f"/api/v1/sessions/{ref}/{path}", headers={"Last-Event-ID": "no place"})
        assert response.status_code == 422


def test_a_quiet_stream_says_that_it_lives(platform: FakePlatform, http: httpx.Client) -> None:
    ref = make(platform)
    platform.streams.tick = True
    assert ": keep-alive\n\n" in http.get(f"/api/v1/sessions/{ref}/logs", params={"follow": False}).text


def test_a_reader_that_leaves_is_noticed(platform: FakePlatform, http: httpx.Client) -> None:
    ref = make(platform, b"hello")
    with http.stream("GET", f"/api/v1/sessions/{ref}/logs") as response:
        chunks = response.iter_bytes()
        next(chunks)
        until(lambda: platform.streams.open == 1)
    until(lambda: platform.streams.open == 0)


async def test_logs_come_as_they_are_written(platform: FakePlatform, client: AsyncClient) -> None:
    ref = make(platform)
    pieces = client.sessions.logs(ref)
    for text in (b"a", b"b"):
        platform.do(platform.sessions.say(ref, text, "stderr"))
        piece = await anext(pieces)
        assert (piece.data, piece.stream) == (text, "stderr")
    platform.do(platform.sessions.end(ref))
    assert [piece async for piece in pieces] == []


async def test_a_broken_connection_leaves_no_gap(platform: FakePlatform, client: AsyncClient) -> None:
    lines = [f"line {number}\n".encode() for number in range(20)]
    ref = make(platform, *lines)
    platform.do(platform.sessions.end(ref))
    platform.sessions.drop_after = 7
    assert [piece.data async for piece in client.sessions.logs(ref)] == lines


def test_a_stream_ends_when_its_token_is_taken_back(platform: FakePlatform, http: httpx.Client) -> None:
    ref = make(platform, b"hello")
    with http.stream("GET", f"/api/v1/sessions/{ref}/logs") as response:
        chunks = response.iter_bytes()
        next(chunks)
        platform.do(platform.revoke())
        assert b"event: end" not in b"".join(chunks)


async def test_a_restarting_server_leaves_no_gap(platform: FakePlatform, client: AsyncClient) -> None:
    ref = make(platform, b"before ")
    pieces = client.sessions.logs(ref)
    assert (await anext(pieces)).data == b"before "
    stopping = asyncio.create_task(asyncio.to_thread(platform.stop))
    rest: asyncio.Task[list[LogPiece]] = asyncio.create_task(_collect(pieces))
    started = time.monotonic()
    await stopping
    assert time.monotonic() - started < 4, "stopping waited for the reader"
    platform.do(platform.sessions.say(ref, b"meanwhile "))
    platform.start()
    platform.do(platform.sessions.say(ref, b"after"))
    platform.do(platform.sessions.end(ref))
    assert b"".join(piece.data for piece in await rest) == b"meanwhile after"


async def _collect(pieces: object) -> list[LogPiece]:
    return [piece async for piece in pieces]  # type: ignore[attr-defined]


async def test_a_long_silence_takes_nothing_from_the_patience_with_a_restart(
    platform: FakePlatform, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = make(platform, b"before ")
    pieces = client.sessions.logs(ref)
    await anext(pieces)
    an_hour_later = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600)
    monkeypatch.setattr("madang.sdk._transport.time", an_hour_later)
    await asyncio.to_thread(platform.stop)
    rest: asyncio.Task[list[LogPiece]] = asyncio.create_task(_collect(pieces))
    platform.start()
    platform.do(platform.sessions.say(ref, b"after"))
    platform.do(platform.sessions.end(ref))
    assert b"".join(piece.data for piece in await rest) == b"after"


async def test_a_server_that_stays_away_is_given_up(platform: FakePlatform) -> None:
    ref = make(platform, b"x")
    async with AsyncClient(platform.url, platform.token, patience=0.2) as client:
        pieces = client.sessions.logs(ref)
        await anext(pieces)
        await asyncio.to_thread(platform.stop)
        with pytest.raises(NoServer, match="madang up"):
            await anext(pieces)
        with pytest.raises(Unavailable):
            await client.me()
    platform.start()


async def test_logs_of_nothing_are_not_found(client: AsyncClient) -> None:
    with pytest.raises(NotFound):
        await anext(client.sessions.logs("nothing"))


async def test_events_tell_a_session_from_begin_to_end(platform: FakePlatform, client: AsyncClient) -> None:
    ref, other = make(platform), make(platform)
    platform.do(platform.sessions.end(ref))
    events = [event async for event in client.sessions.events(ref)]
    assert [event.kind for event in events] == ["session.running", "session.succeeded"]
    assert [event.id async for event in client.sessions.events(ref, after=events[0].id)] == [events[1].id]
    seen = [event.session async for event in client.events(follow=False)]
    assert seen == [ref, other, ref]


async def test_waiting_ends_with_the_session(platform: FakePlatform, client: AsyncClient) -> None:
    ref = make(platform)
    with pytest.raises(TimeoutError):
        await client.sessions.wait(ref, timeout=0.05)
    waiting = asyncio.create_task(client.sessions.wait(ref))
    await client.sessions.stop(ref)
    assert (await waiting).state is SessionState.STOPPED
    assert (await client.sessions.wait(ref)).id == ref


def test_the_synchronous_client_follows_too(platform: FakePlatform) -> None:
    ref = make(platform, b"a", b"b")
    with Client(platform.url, platform.token) as client:
        pieces = client.sessions.logs(ref)
        assert [next(pieces).data, next(pieces).data] == [b"a", b"b"]
        threading.Timer(0.05, lambda: platform.do(platform.sessions.end(ref))).start()
        assert list(pieces) == []
        assert client.sessions.wait(ref).state is SessionState.SUCCEEDED
