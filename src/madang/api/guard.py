"""The outermost layer of the server: whom it answers at all, headers on every answer, and faults nobody expected."""

from __future__ import annotations

import os
import traceback
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from madang.api.problems import make_problem, problem_response
from madang.api.wire import API
from madang.domain.names import is_loopback
from madang.domain.notices import NOTICE_HEADER

log = structlog.get_logger(__name__)

_HEADERS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
]
_NOTICE: Final = NOTICE_HEADER.lower().encode()
_HOSTS: Final = 256  # names that are remembered
_CACHE: Final = (b"cache-control", b"no-store")


def host_of(header: str) -> str:
    """The host of a Host header, without its port and brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


class Guard:
    """Pure ASGI, since every request passes here. `notice` gives the value of NOTICE_HEADER.

    On a server that listens on loopback only, a Host header must name loopback, the configured host or that of
    `public_url`: a web page elsewhere whose name was made to resolve to 127.0.0.1 (DNS rebinding) is thereby turned
    away.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        *,
        public_url: str | None = None,
        notice: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        self._app = app
        self._names = {host.lower().strip("[]"), urlsplit(public_url or "").hostname}
        self._local = is_loopback(host)
        self._notice = notice
        self._is_ours = lru_cache(_HOSTS)(self._names_us_by)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = os.urandom(13).hex()
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
                started = True
                headers = list(message.get("headers", ()))
                if all(name != b"cache-control" for name, _ in headers):
                    headers.append(_CACHE)
                if self._notice is not None and scope["path"].startswith(API):
                    headers += [(_NOTICE, told.encode()) for told in [await self._notice()] if told]
                message["headers"] = [*headers, *_HEADERS, (b"x-request-id", request_id.encode())]
            await send(message)

        if self._local and not self._names_us(scope):
            detail = "The Host header does not name this server, which answers to loopback names only."
            problem = make_problem(421, "misdirected", "Wrong server", detail)
            await problem_response(problem)(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            # No headers, no query, and a plain traceback without local variables: those hold tokens.
            log.error(
                "request failed",
                request_id=request_id,
                path=scope["path"],
                method=scope.get("method"),
                exception=traceback.format_exc(),
            )
            if started:
                raise  # too late for an answer; breaking off tells the client that it is not complete
            detail = f"Something went wrong inside Madang. Its log has the details under request {request_id}."
            problem = make_problem(500, "internal", "Internal error", detail)
            await problem_response(problem)(scope, receive, send_with_headers)

    def _names_us_by(self, header: bytes) -> bool:
        host = host_of(header.decode("latin-1"))
        return host.lower() in self._names or is_loopback(host)

    def _names_us(self, scope: Scope) -> bool:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        return len(hosts) == 1 and self._is_ours(hosts[0])
