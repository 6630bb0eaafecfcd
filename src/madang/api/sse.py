"""Server-sent events: their form, and the response that sends them until either side leaves."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from madang.api.errors import problem_for
from madang.api.shutdown import Ends
from madang.domain.errors import MadangError
from madang.schemas.agent import LogChunk
from madang.schemas.api import Event, LogEvent

T = TypeVar("T")

MEDIA_TYPE: Final = "text/event-stream"
KEEP_ALIVE: Final = b": keep-alive\n\n"
END: Final = b"event: end\ndata: {}\n\n"
_HELLO: Final = b"retry: 1000\n\n"  # also gets the headers through proxies that wait for a body


def format_event(name: str, data: bytes, event_id: str | None = None) -> bytes:
    """One event. `data` is one line, as JSON is; an id makes it a place to resume from."""
    head = f"id: {event_id}\nevent: {name}\ndata: " if event_id is not None else f"event: {name}\ndata: "
    return head.encode() + data + b"\n\n"


def log_event(chunk: LogChunk) -> LogEvent:
    """A piece of output for JSON: as text when it is whole UTF-8, else as base64."""
    try:
        text, encoded = chunk.data.decode(), None
    except UnicodeDecodeError:
        text, encoded = None, base64.b64encode(chunk.data).decode()
    return LogEvent(stream=chunk.stream, at=chunk.at, text=text, base64=encoded, skipped=chunk.skipped)


async def format_logs(chunks: AsyncIterator[LogChunk | None]) -> AsyncGenerator[bytes]:
    """Output as events whose ids are cursors; the last one is `end`."""
    async with _closed(chunks):
        async for chunk in chunks:
            if chunk is None:
                yield KEEP_ALIVE
            else:
                yield format_event("log", log_event(chunk).model_dump_json().encode(), str(chunk.cursor))
    yield END


async def format_events(events: AsyncIterator[Event | None]) -> AsyncGenerator[bytes]:
    """Changes of state as events with their ids; the last one is `end`."""
    async with _closed(events):
        async for event in events:
            if event is None:
                yield KEEP_ALIVE
            else:
                yield format_event("event", event.model_dump_json().encode(), event.id)
    yield END


@contextlib.asynccontextmanager
async def _closed(source: AsyncIterator[T]) -> AsyncIterator[None]:
    """Ends `source` with its reader, not some time later: it may hold a connection to the database."""
    try:
        yield
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


class EventStream(Response):
    """Sends what `frames` yields until it is exhausted, the client leaves, or the server stops.

    An expected error in the middle becomes a last `error` event with the problem. When the server stops, or what the
    caller may do changes, there is no last event: the client sees that the stream is not complete, and asks again.
    """

    media_type = MEDIA_TYPE

    def __init__(self, frames: AsyncGenerator[bytes], ends: Ends) -> None:
        super().__init__(None, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._frames = frames
        self._ends = ends

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": _HELLO, "more_body": True})
        waiting = [
            asyncio.create_task(self._pump(send)),
            asyncio.create_task(_disconnected(receive)),
            asyncio.create_task(_ended(self._ends)),
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            results = await asyncio.gather(*waiting, return_exceptions=True)
        if isinstance(results[0], Exception) and not isinstance(results[0], OSError):
            raise results[0]
        with contextlib.suppress(OSError):  # the client may be gone
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, send: Send) -> None:
        async with contextlib.aclosing(self._frames) as frames:
            try:
                async for frame in frames:
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
            except MadangError as error:
                problem = bytes(problem_for(error).body)
                await send({"type": "http.response.body", "body": format_event("error", problem), "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _ended(ends: Ends) -> None:
    await ends()
