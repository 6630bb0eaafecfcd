"""Requests to the server: errors as exceptions, retries where they are safe, streams that resume."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Mapping
from typing import IO, Final, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from madang import __version__
from madang.domain.errors import Unavailable
from madang.domain.notices import NOTICE_HEADER
from madang.schemas.api import Problem
from madang.sdk._events import ServerEvent, read_events
from madang.sdk._httpx import httpx
from madang.sdk.connection import Connection
from madang.sdk.errors import ApiError, NoServer, error_of, error_of_response, unreachable

M = TypeVar("M", bound=BaseModel)
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Query = Mapping[str, str | int | bool | list[str]]
Body = bytes | Callable[[], AsyncIterable[bytes]]
"""Bytes, or what makes a fresh stream of them for each attempt."""

USER_AGENT: Final = f"madang-python/{__version__}"
API: Final = "/api/v1"
JSON: Final = {"Content-Type": "application/json"}
"""Headers of a request with a JSON body."""
_DIGEST: Final = "madang.body"  # of a body that is a stream, for who signs the request
_PIECE: Final = 256 << 10
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 3.0
_BUSY: Final = 5.0  # seconds for which a request is sent anew to a server that says it is busy
_SILENCE: Final = 45.0  # the server says something on a stream every 15 seconds
_RESUMABLE: Final = (httpx.TransportError, Unavailable)


class Transport:
    """One server, reached over pooled connections.

    `patience`: seconds for which a server that has answered before may be away, as over a restart, before requests and
    streams give up. One that never answered is reported at once.
    """

    def __init__(self, connection: Connection, *, timeout: float, patience: float) -> None:
        self.connection = connection
        self._patience = patience
        self._met = False
        self.notice = ""
        """What the last answer said in NOTICE_HEADER."""
        self._http = httpx.AsyncClient(
            base_url=connection.url,
            headers={"User-Agent": USER_AGENT},
            auth=_Credential(connection),
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            trust_env=not connection.is_loopback,
            follow_redirects=False,
            event_hooks={"response": [self._hear]},
        )

    async def close(self) -> None:
        """Let go of all connections."""
        await self._http.aclose()

    async def _hear(self, response: httpx.Response) -> None:
        self.notice = response.headers.get(NOTICE_HEADER, "")

    async def call(
        self,
        method: Method,
        path: str,
        *,
        params: Query | None = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
        accept: int | None = None,
        seconds: float | None = None,
    ) -> httpx.Response:
        """One answered request; `accept` is a status of failure that the caller wants to see as a response, `seconds`
        how long to wait for an answer that takes longer than others.

        `repeatable` says that asking twice does no more than asking once: then it is sent again when the connection
        breaks or the server is busy. Raises the domain's error for a problem, NoServer when nobody answers.
        """
        retry = _Retry()
        while True:
            try:
                response = await self._send(method, path, params, body, headers, seconds=seconds)
                self._met = True
                if response.is_success or response.status_code == accept:
                    return response
                raise error_of_response(response.status_code, response.content)
            except _RESUMABLE as error:
                again = repeatable or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)  # never sent
                if not again or not await retry.pause(self._limit(error)):
                    raise self._final(error) from None

    async def _send(
        self,
        method: Method,
        path: str,
        params: Query | None,
        body: Body | None,
        headers: Mapping[str, str] | None,
        *,
        seconds: float | None,
    ) -> httpx.Response:
        timeout = self._http.timeout if seconds is None else httpx.Timeout(seconds, connect=10.0)
        if not callable(body):
            return await self._http.request(method, path, params=params, content=body, headers=headers, timeout=timeout)
        if not self.connection.key:
            return await self._http.request(method, path, params=params, content=body(), headers=headers)
        with tempfile.TemporaryFile() as file:  # what is signed has to be known as a whole before it is sent
            digest = hashlib.sha256()
            async for piece in body():
                digest.update(piece)
                await asyncio.to_thread(file.write, piece)
            signed = {_DIGEST: digest.hexdigest()}
            content = _pieces(file)
            return await self._http.request(
                method, path, params=params, content=content, headers=headers, extensions=signed
            )

    async def get(self, model: type[M], path: str, params: Query | None = None) -> M:
        """What is at `path`, as a `model`."""
        return self.parse(model, (await self.call("GET", path, params=params)).content)

    def parse(self, model: type[M], content: bytes) -> M:
        """Read an answer. Raises ApiError when the server speaks another version of the API."""
        try:
            return model.model_validate_json(content, extra="ignore")  # a newer server may say more
        except ValidationError:
            raise self._foreign(model.__name__) from None

    @contextlib.asynccontextmanager
    async def download(self, path: str, params: Query | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes at `path` as they arrive. Raises NoServer when they break off before their end."""
        try:
            async with self._http.stream("GET", path, params=params) as response:
                self._met = True
                if not response.is_success:
                    raise error_of_response(response.status_code, await response.aread())
                yield response.aiter_bytes()
        except httpx.TransportError as error:
            raise self._final(error) from None

    async def follow(self, path: str, params: Query, last_id: str | None = None) -> AsyncIterator[ServerEvent]:
        """The events at `path` up to the server's `end`; resumes behind the last one when the connection breaks."""
        retry = _Retry()
        while True:
            error: httpx.TransportError | Unavailable = NoServer(f"The server at {self.connection.url} went away.")
            try:
                headers = {"Last-Event-ID": last_id} if last_id is not None else {}
                async with contextlib.aclosing(self._events_once(path, params, headers, retry)) as events:
                    async for event in events:
                        if event.name == "end":
                            return
                        if event.name == "error":
                            raise error_of(self.parse(Problem, event.data.encode()))
                        last_id = event.id if event.id is not None else last_id
                        yield event
            except _RESUMABLE as caught:
                error = caught
            if retry.heard:
                retry.reset()  # it is away since now, however long it had nothing to say before
            if not await retry.pause(self._patience if self._met else 0):
                raise self._final(error) from None

    async def _events_once(
        self, path: str, params: Query, headers: dict[str, str], retry: _Retry
    ) -> AsyncGenerator[ServerEvent]:
        timeout = httpx.Timeout(_SILENCE, connect=10.0)
        async with self._http.stream("GET", path, params=params, headers=headers, timeout=timeout) as response:
            self._met = True
            if not response.is_success:
                raise error_of_response(response.status_code, await response.aread())

            async def heard() -> AsyncIterator[bytes]:
                async for piece in response.aiter_bytes():
                    retry.heard = True
                    yield piece

            async for event in read_events(heard()):
                yield event

    def _limit(self, error: httpx.TransportError | Unavailable) -> float:
        """Seconds for which a request is tried again after `error`."""
        if isinstance(error, Unavailable):
            return min(self._patience, _BUSY)
        return self._patience if self._met else 0

    def _final(self, error: httpx.TransportError | Unavailable) -> Unavailable:
        if isinstance(error, httpx.TransportError):
            return unreachable(self.connection.url, error)
        return error

    def _foreign(self, what: str) -> ApiError:
        detail = f"The server at {self.connection.url} sent a {what} this client cannot read; use the same version."
        return ApiError(Problem(type="about:blank", title="", status=200, code="unknown", detail=detail))


class _Credential(httpx.Auth):
    """Says whose each request is, with a token or a signature of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        body = (request.extensions.get(_DIGEST) or request.content) if self._connection.key else b""
        target = request.url.raw_path.decode("ascii")
        request.headers.update(self._connection.authorization(request.method, target, body))
        yield request


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    await asyncio.to_thread(file.seek, 0)
    while piece := await asyncio.to_thread(file.read, _PIECE):
        yield piece


class _Retry:
    """Pauses between attempts: longer each time, until it is enough."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """The server has been there until now."""
        self.heard = False  # whether it has sent anything since
        self._since = time.monotonic()
        self._next = _FIRST_PAUSE

    async def pause(self, limit: float) -> bool:
        """Wait for a while and return True; or False at once when the last success is `limit` seconds ago."""
        if time.monotonic() - self._since >= limit:
            return False
        await asyncio.sleep(self._next)
        self._next = min(self._next * 2, _LONGEST_PAUSE)
        return True
