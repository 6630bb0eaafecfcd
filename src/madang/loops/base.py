"""What a loop is, and the runner that keeps one going."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from madang.db.hub import Hub
from madang.domain.errors import MadangError
from madang.services.pulse import Pulse

_log = structlog.get_logger(__name__)

_STUCK_SECONDS: Final = 60.0
_LONGEST_PAUSE: Final = 10.0


class Loop(Protocol):
    """One small reconciler: each step compares what is with what was asked for, and moves it a bit.

    A step may be cut short anywhere, run again, and run in several managers at once.
    """

    name: str
    topics: Sequence[str]  # a wake-up on one of them makes a step due
    every_seconds: float  # and so does the passing of this time

    async def step(self) -> None:
        """Do what is due. Must not take longer than some seconds; longer work goes into tasks of the loop."""

    async def close(self) -> None:
        """Let go of tasks of the loop."""


class Runner:
    """Runs a loop: at once when woken, else at intervals; after an error again with growing pauses."""

    def __init__(self, loop: Loop, hub: Hub, pulse: Pulse) -> None:
        self._loop = loop
        self._hub = hub
        self._pulse = pulse

    async def run(self) -> None:
        """Runs until it is cancelled."""
        name = self._loop.name
        self._pulse.expect(name, self._loop.every_seconds + _STUCK_SECONDS)
        pause = 0.0
        try:
            with self._hub.subscribe(*self._loop.topics) as wake_ups:
                while True:
                    try:
                        await self._loop.step()
                    except Exception as error:
                        # A loop must outlive whatever happens in a step: the next one starts from the database.
                        pause = min(max(pause * 2, 0.1), _LONGEST_PAUSE)
                        _log.warning("loop_failed", loop=name, error=_say(error), again_in_seconds=pause)
                        self._pulse.beat(name, failing=True)
                        await asyncio.sleep(pause)
                        continue
                    pause = 0.0
                    self._pulse.beat(name)
                    await wake_ups.wait(self._loop.every_seconds)
        finally:
            self._pulse.forget(name)
            await self._loop.close()


def _say(error: Exception) -> str:
    return error.message if isinstance(error, MadangError) else f"{type(error).__name__}: {error}"
