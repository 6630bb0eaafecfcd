"""Bridges between asynchronous byte streams and blocking code that runs in a thread."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from typing import Final

_QUEUE: Final = 8
CHUNK: Final = 1 << 18


class BlockingReader(io.RawIOBase):
    """A file to read, for a thread, from an asynchronous iterator of the event loop."""

    def __init__(self, source: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._source = source
        self._loop = loop
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            piece = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            if piece is None:
                return 0
            self._left = piece
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    async def _next(self) -> bytes | None:
        return await anext(self._source, None)


class _Abandoned(Exception):
    """Nobody reads the stream any more."""


async def produced(work: Callable[[Callable[[bytes], object]], None]) -> AsyncIterator[bytes]:
    """What `work`, run in a thread, passes to the function it is given; its errors are raised here."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUE)
    abandoned = False

    async def put(data: bytes | None) -> None:
        await queue.put(data)

    def write(data: bytes) -> int:
        if abandoned:
            raise _Abandoned
        asyncio.run_coroutine_threadsafe(put(bytes(data)), loop).result()
        return len(data)

    def run() -> None:
        try:
            work(write)
        except _Abandoned:
            return
        finally:
            if not abandoned:
                asyncio.run_coroutine_threadsafe(put(None), loop).result()

    worker = asyncio.create_task(asyncio.to_thread(run))
    try:
        while (data := await queue.get()) is not None:
            yield data
        await worker
    finally:
        abandoned = True
        while not worker.done():
            while not queue.empty():
                queue.get_nowait()
            await asyncio.wait([worker], timeout=0.05)


async def first_of(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same stream, after its first piece has been produced: what fails at the beginning fails here."""
    first = await anext(stream, None)

    async def whole() -> AsyncIterator[bytes]:
        if first is not None:
            yield first
        async for piece in stream:
            yield piece

    return whole()
