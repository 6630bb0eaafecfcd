"""Authenticated reads of the API, as many as it answers."""

from __future__ import annotations

import asyncio
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from benchmarks.base import Bench, Result, percentile

NAMES = ("api-reads-rps", "api-reads-p99-ms")
CONNECTIONS = 16
ROUNDS = 5
SECONDS = 2.0  # a round
SESSIONS = 20
HELLO = """
import sys, uvicorn
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})
uvicorn.run(app, port=int(sys.argv[1]), log_level="critical", lifespan="off")
"""


class Reader(asyncio.Protocol):
    """One kept-alive connection that asks again as soon as it was answered, each path in turn."""

    def __init__(self, requests: Sequence[bytes], latencies: list[float]) -> None:
        self._requests = requests
        self._latencies = latencies
        self._turn = 0
        self._buffer = b""
        self._asked = 0.0
        self._transport: asyncio.Transport | None = None
        self.errors = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        if len(body) < length:
            return
        self._buffer = b""
        self._latencies.append(time.perf_counter() - self._asked)
        if not head.startswith(b"HTTP/1.1 200"):
            self.errors += 1
        self._ask()

    def close(self) -> None:
        """Ask no more."""
        if self._transport is not None:
            self._transport.abort()

    def _ask(self) -> None:
        assert self._transport is not None
        self._asked = time.perf_counter()
        self._transport.write(self._requests[self._turn % len(self._requests)])
        self._turn += 1


def measure(bench: Bench) -> Sequence[Result]:
    """Half the requests list a page of sessions, half get one; beside it a bare uvicorn that says hello."""
    with bench.client() as client:
        sessions = [
            client.sessions.create(command=["true"], slots={"cpu": "0.1", "mem": "16m"}) for _ in range(SESSIONS)
        ]
        for session in sessions:
            client.sessions.wait(session.id)
        address = urlsplit(bench.platform.url)
        paths = ("/api/v1/sessions?limit=20", f"/api/v1/sessions/{sessions[0].id}")
        requests = [_request(path, address.netloc, bench.platform.token) for path in paths]
        rate, p99, errors = asyncio.run(_load(address.hostname or "", address.port or 80, requests))
        for session in sessions:
            client.sessions.delete(session.id)
    bare_rate, bare_p99 = _hello()
    note = f"{CONNECTIONS} connections, {ROUNDS} rounds, client beside it, {errors} errors; baseline: a bare uvicorn"
    return [
        Result("api-reads-rps", rate, bare_rate, note, errors),
        Result("api-reads-p99-ms", p99, bare_p99, note, errors),
    ]


def _request(path: str, host: str, token: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


async def _load(host: str, port: int, requests: Sequence[bytes]) -> tuple[float, float, int]:
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    readers = [
        (await loop.create_connection(lambda: Reader(requests, latencies), host, port))[1] for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(1)
    rates, p99s = [], []
    for _ in range(ROUNDS):
        latencies.clear()
        began = time.perf_counter()
        await asyncio.sleep(SECONDS)
        rates.append(len(latencies) / (time.perf_counter() - began))
        p99s.append(percentile(latencies, 0.99) * 1000)
    for reader in readers:
        reader.close()
    return statistics.median(rates), statistics.median(p99s), sum(reader.errors for reader in readers)


def _hello() -> tuple[float, float]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-c", HELLO, str(port)])
    try:
        _wait_for(port)
        rate, p99, _ = asyncio.run(_load("127.0.0.1", port, [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"]))
    finally:
        server.terminate()
        server.wait()
    return rate, p99


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
