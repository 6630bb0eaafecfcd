"""Threads for work that would hold up the event loop; few at once, and a queue that has an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from madang.domain.errors import Unavailable

_WAITING_AT_MOST: Final = 256

_T = TypeVar("_T")


class Threads:
    """A few threads of one kind of work, so that it cannot take those of others."""

    def __init__(self, name: str, at_once: int) -> None:
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix=name)
        self._waiting = 0

    async def run(self, work: Callable[[], _T]) -> _T:
        """The result of `work`. Raises Unavailable when too many wait already."""
        if self._waiting >= _WAITING_AT_MOST:
            raise Unavailable("Very many people sign in at this moment. Try again in some seconds.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads when they are done with what they do."""
        self._pool.shutdown(wait=False)
