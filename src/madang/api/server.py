"""Serves an application on a socket, and stops without waiting for those who only listen."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Iterator, Sequence
from typing import Final

import uvicorn
from fastapi import FastAPI

from madang.api.shutdown import begin_shutdown
from madang.domain.errors import StartupError

_GRACE: Final = 5  # seconds for running requests to end at a stop


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; apart from the server, so that a taken port is noticed before anything else is started."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise StartupError(_advice(error, host, port)) from None
    listener.setblocking(False)
    return listener


class ApiServer:
    """One listening address. `open` binds it, `start` serves, `stop` ends; signals are left to the program."""

    def __init__(
        self, app: FastAPI, listener: socket.socket, host: str, *, trusted_proxies: Sequence[str] = ()
    ) -> None:
        """`trusted_proxies`: addresses and networks that may say for whom they ask, by X-Forwarded-For and -Proto."""
        logging.getLogger("uvicorn.access").disabled = True  # it writes queries, and costs time
        self._app = app
        self._listener = listener
        self._host = host
        self._server = _Server(
            uvicorn.Config(
                app,
                loop="none",
                http="httptools",
                ws="websockets-sansio",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=bool(trusted_proxies),
                forwarded_allow_ips=list(trusted_proxies),
                ws_max_size=2 << 20,
                ws_per_message_deflate=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=_GRACE,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, app: FastAPI, host: str, port: int, *, trusted_proxies: Sequence[str] = ()) -> ApiServer:
        """Bind `host`:`port` (0: any free one). Raises StartupError when that is not possible."""
        return cls(app, bind(host, port), host, trusted_proxies=trusted_proxies)

    @property
    def url(self) -> str:
        """Where clients on this machine reach it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self._listener.getsockname()[1]}"

    async def start(self) -> None:
        """Returns once requests are answered."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise StartupError("The API server ended while it started; its log says why.")
            await asyncio.sleep(0.002)

    async def stop(self) -> None:
        """Take no more requests, end streams and exec sockets, let the others end within seconds."""
        if self._serving is None:
            self._listener.close()
            return
        begin_shutdown(self._app)
        self._server.should_exit = True
        await self._serving
        self._serving = None


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _advice(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is in use. Another Madang may be running (`madang status`); "
            "otherwise choose another port with --port, or --port 0 for any free one."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than you have; choose one above 1023 with --port."
    return f"Cannot listen on {host}:{port}: {error.strerror or error}. Check --host and --port."
