"""Telling any number of waiters that something changed, without one of them missing it."""

from __future__ import annotations

import asyncio


class Bell:
    """Note `rung`, look at what the bell is about, then wait: a ring between the look and the wait is not lost."""

    def __init__(self) -> None:
        self.rung = 0
        self._next = asyncio.Event()

    def ring(self) -> None:
        """Wake everybody who waits now."""
        self.rung += 1
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self, seen: int) -> None:
        """Return once the bell has rung more often than `seen`."""
        while self.rung == seen:
            await self._next.wait()
