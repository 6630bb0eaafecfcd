"""The beat of the loops, from which health is told."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(slots=True)
class _Beat:
    within_seconds: float
    at: float
    failing: bool = False


class Pulse:
    """Each loop beats at least as often as it promised; one that is stuck or keeps failing is noticed."""

    def __init__(self) -> None:
        self._beats: dict[str, _Beat] = {}

    def expect(self, name: str, within_seconds: float) -> None:
        """A loop begins and promises to beat."""
        self._beats[name] = _Beat(within_seconds, time.monotonic())

    def beat(self, name: str, *, failing: bool = False) -> None:
        """A loop finished a step, or failed in it."""
        self._beats[name].at = time.monotonic()
        self._beats[name].failing = failing

    def forget(self, name: str) -> None:
        """A loop has ended."""
        self._beats.pop(name, None)

    def states(self) -> dict[str, str]:
        """Every loop with `ok`, `failing` or `stuck`."""
        now = time.monotonic()
        return {
            name: "stuck" if now - beat.at > beat.within_seconds else "failing" if beat.failing else "ok"
            for name, beat in self._beats.items()
        }
