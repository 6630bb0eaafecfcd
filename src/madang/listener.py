"""The HTTP server of the platform: one socket, no signal handlers of its own, almost nothing to do while idle."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import uvicorn
from fastapi import FastAPI

from madang.domain.errors import StartupError

_GRACEFUL_SECONDS: Final = 5
_BACKLOG: Final = 2048


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to one address. Raises StartupError when that is not possible, naming what to change."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise StartupError(
            f"'{host}' is not an address of this machine ({error.strerror}); choose another --host."
        ) from error
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        # Listening already now makes a second program on the port fail here and not later.
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise StartupError(
                f"Port {port} on {host} is in use by another program. Choose another one with --port (0: any free one)."
            ) from error
        raise StartupError(
            f"Cannot listen on {host}, port {port}: {error.strerror}. Choose another --host or --port."
        ) from error
    return bound


def url_of(bound: socket.socket) -> str:
    """How a client on this machine reaches the socket."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Listener(uvicorn.Server):
    """uvicorn, driven by the platform."""

    def __init__(self, app: FastAPI, bound: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="websockets-sansio",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACEFUL_SECONDS,
                timeout_keep_alive=60,
            )
        )
        self._bound = bound
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the platform's business."""
        yield

    async def main_loop(self) -> None:
        """As uvicorn's, but waking once a second (for the date header) instead of ten times."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._stop.wait()

    async def open(self) -> None:
        """Begin to answer. Raises StartupError."""
        self._task = asyncio.create_task(self.serve(sockets=[self._bound]), name="api")
        while not self.started:
            if self._task.done():
                raise StartupError(f"The API did not start: {self._task.exception() or 'no reason given'}.")
            await asyncio.sleep(0.002)

    async def ended(self) -> None:
        """Returns, or raises, when it no longer answers."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def close(self) -> None:
        """Finish what is being answered, at most for some seconds."""
        self.should_exit = True
        self._stop.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
