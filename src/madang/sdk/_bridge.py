"""Runs asynchronous code for synchronous callers, on one private event loop in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class Bridge:
    """A thread with an event loop. Any thread may call in; an interrupt of the caller cancels what it waits for."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_run, args=(self._loop,), name="madang-client", daemon=True)
        self._thread.start()
        self._finalizer = weakref.finalize(self, self._loop.call_soon_threadsafe, self._loop.stop)

    @property
    def running(self) -> bool:
        """Whether it has not been closed."""
        return self._finalizer.alive

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, source: AsyncIterator[T]) -> Iterator[T]:
        """What `source` yields, one at a time."""
        try:
            while True:
                try:
                    yield self.run(_next(source))
                except StopAsyncIteration:
                    return
        finally:
            if isinstance(source, AsyncGenerator) and self.running:
                self.run(source.aclose())

    @contextlib.contextmanager
    def entered(self, manager: contextlib.AbstractAsyncContextManager[T]) -> Iterator[T]:
        """An asynchronous context manager as a synchronous one."""
        value = self.run(_enter(manager))
        try:
            yield value
        except BaseException as error:
            if not self.run(_leave(manager, error)):
                raise
        else:
            self.run(_leave(manager, None))

    def close(self) -> None:
        """End the loop and its thread."""
        if self._finalizer.detach() is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _next(source: AsyncIterator[T]) -> T:
    return await anext(source)


async def _enter(manager: contextlib.AbstractAsyncContextManager[T]) -> T:
    return await manager.__aenter__()


async def _leave(manager: contextlib.AbstractAsyncContextManager[T], error: BaseException | None) -> bool | None:
    trace = error.__traceback__ if error is not None else None
    return await manager.__aexit__(type(error) if error is not None else None, error, trace)
