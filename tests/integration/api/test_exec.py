"""A further process in a session over the WebSocket, from the client's side."""

from __future__ import annotations

import asyncio

import pytest
import websockets
from websockets.exceptions import InvalidStatus

from madang.domain.errors import Conflict, NotFound, Unauthorized, Unavailable
from madang.domain.session import ExitReason
from madang.schemas.exec import WINDOW
from madang.sdk import AsyncClient, Client
from tests.fake_platform import FakePlatform
from tests.fake_sessions import FakeExec


@pytest.fixture
async def ref(client: AsyncClient) -> str:
    return (await client.sessions.create(["job"])).id


def closed(platform: FakePlatform, process: FakeExec) -> None:
    platform.do(asyncio.wait_for(process.closed.wait(), 10))


async def test_input_goes_in_and_output_comes_out(platform: FakePlatform, client: AsyncClient, ref: str) -> None:
    async with await client.sessions.exec(ref, ["echo"], terminal=True, rows=5, columns=7) as process:
        await process.write(b"hello")
        output = process.output()
        assert await anext(output) == ("stdout", b"hello")
        await process.resize(50, 132)
        await process.close_stdin()
        assert [piece async for piece in output] == [("stderr", b"bye")]
        report = await process.wait()
    assert (report.reason, report.code) == (ExitReason.EXITED, 3)
    fake = platform.sessions.execs[0]
    assert (fake.spec.terminal, fake.spec.rows, fake.spec.columns) == (True, 5, 7)
    assert fake.sizes == [(50, 132)]
    closed(platform, fake)


async def test_more_than_a_window_passes_both_ways(client: AsyncClient, ref: str) -> None:
    data = bytes(range(256)) * (3 * WINDOW // 256)
    async with await client.sessions.exec(ref, ["echo"]) as process:

        async def feed() -> None:
            await process.write(data)
            await process.close_stdin()

        feeding = asyncio.create_task(feed())
        out = b"".join([piece async for stream, piece in process.output() if stream == "stdout"])
        await feeding
    assert out == data


async def test_a_slow_reader_holds_up_the_process_and_not_the_connection(
    platform: FakePlatform, client: AsyncClient, ref: str
) -> None:
    async with await client.sessions.exec(ref, ["yes", str(8 * WINDOW)]) as process:
        output = process.output()
        _, first = await anext(output)
        fake = platform.sessions.execs[0]
        await client.me()
        assert fake._queue.qsize() * 65536 >= 6 * WINDOW, "output ran ahead of its reader"
        rest = sum([len(piece) async for _, piece in output])
        assert len(first) + rest == 8 * WINDOW


async def test_a_signal_gets_past_input_that_nobody_takes(
    platform: FakePlatform, client: AsyncClient, ref: str
) -> None:
    async with await client.sessions.exec(ref, ["blocked"]) as process:
        stuck = asyncio.create_task(process.write(b"x" * (2 * WINDOW)))
        await process.signal(15)
        report = await process.wait()
        await stuck
    assert (report.reason, report.signal) == (ExitReason.SIGNAL, 15)


async def test_the_process_is_killed_when_the_client_leaves(
    platform: FakePlatform, client: AsyncClient, ref: str
) -> None:
    async with await client.sessions.exec(ref, ["blocked"]) as process:
        await process.write(b"x")
        await client.me()
    closed(platform, platform.sessions.execs[0])


async def test_the_process_is_killed_when_the_server_stops(
    platform: FakePlatform, client: AsyncClient, ref: str
) -> None:
    process = await client.sessions.exec(ref, ["echo"])
    await process.write(b"x")
    await anext(process.output())
    await asyncio.to_thread(platform.stop)
    with pytest.raises(Unavailable, match="connection was lost"):
        await process.wait()
    closed(platform, platform.sessions.execs[0])
    await process.close()
    platform.start()


async def test_what_cannot_start_says_why(client: AsyncClient, ref: str) -> None:
    with pytest.raises(NotFound, match="no session"):
        await client.sessions.exec("nothing", ["true"])
    await client.sessions.stop(ref)
    process = await client.sessions.exec(ref, ["true"])
    with pytest.raises(Conflict, match="has ended"):
        await process.wait()
    await process.close()


async def test_strangers_do_not_get_in(platform: FakePlatform, ref: str) -> None:
    async with AsyncClient(platform.url, "wrong") as stranger:
        with pytest.raises(Unauthorized):
            await stranger.sessions.exec(ref, ["true"])
    url = f"ws{platform.url.removeprefix('http')}/api/v1/sessions/{ref}/exec"
    for headers in ({}, {"Cookie": f"token={platform.token}"}):
        with pytest.raises(InvalidStatus) as refused:
            await websockets.connect(url, additional_headers=headers, proxy=None)
        assert refused.value.response.status_code == 401
    with pytest.raises(InvalidStatus) as refused:
        await websockets.connect(f"{url}?token={platform.token}", proxy=None)
    assert refused.value.response.status_code == 401
    assert not platform.sessions.execs


async def test_a_rebound_name_is_turned_away(platform: FakePlatform, ref: str) -> None:
    host, port = platform.url.removeprefix("http://").split(":")
    with pytest.raises(InvalidStatus) as refused:
        await websockets.connect(
            f"ws://evil.example:{port}/api/v1/sessions/{ref}/exec",
            host=host,
            additional_headers={"Authorization": f"Bearer {platform.token}"},
            proxy=None,
        )
    assert refused.value.response.status_code == 421


@pytest.mark.parametrize(
    "frame",
    ["", "{}", '{"command": []}', b"\x00x", '{"command": ["a"], "x": 1}'],
)
async def test_a_first_frame_that_is_no_spec_is_refused(platform: FakePlatform, ref: str, frame: str | bytes) -> None:
    answer = await _talk(platform, ref, frame)
    assert '"type":"error"' in answer
    assert '"code":"invalid_input"' in answer


@pytest.mark.parametrize(
    "frame", [b"", b"\x01x", b"\x00" + b"x" * (WINDOW + 1), "nonsense", '{"type": "signal", "number": 99}']
)
async def test_frames_that_break_the_rules_end_it(platform: FakePlatform, ref: str, frame: str | bytes) -> None:
    answer = await _talk(platform, ref, '{"command": ["blocked"]}', frame)
    assert '"code":"invalid_input"' in answer
    closed(platform, platform.sessions.execs[0])


async def _talk(platform: FakePlatform, ref: str, *frames: str | bytes) -> str:
    headers = {"Authorization": f"Bearer {platform.token}"}
    url = f"ws{platform.url.removeprefix('http')}/api/v1/sessions/{ref}/exec"
    async with websockets.connect(url, additional_headers=headers, proxy=None) as socket:
        for frame in frames:
            await socket.send(frame)
        answer = await asyncio.wait_for(socket.recv(), 10)
    assert isinstance(answer, str)
    return answer


def test_the_synchronous_client_runs_processes_too(platform: FakePlatform) -> None:
    with Client(platform.url, platform.token) as client:
        ref = client.sessions.create(["job"]).id
        with client.sessions.exec(ref, ["echo"]) as process:
            process.write(b"hi")
            process.close_stdin()
            assert list(process.output()) == [("stdout", b"hi"), ("stderr", b"bye")]
            assert process.wait().code == 3
