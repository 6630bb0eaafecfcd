"""Keeping guessers waiting: failed attempts are counted for all managers together, before the password is looked at."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from madang.domain.errors import TooManyAttempts
from madang.domain.ids import Clock
from madang.domain.throttle import Attempt, Tally, attempt_of, counted, taken_back, wait_seconds

Change = Callable[[Mapping[str, Tally]], Mapping[str, Tally]]
"""From the tallies there are to those to write; a pure function, so it may be called again."""


class Attempts(Protocol):
    """Where tallies are kept: key (text, primary), count (double), at (timestamptz), shared by all managers."""

    async def change(self, keys: Collection[str], change: Change) -> None:
        """Read the tallies of these keys, give them to `change` and write what it returns, as one step.

        Nobody else may change one of these keys meanwhile: lock them in sorted order, those without a row too (insert
        a row of count 0 that does nothing on a conflict, then select for update). What `change` raises passes through
        and nothing is written.
        """


class Throttle:
    """Counts an attempt as failed when it begins and takes that back when it succeeds.

    A thousand attempts at once are then a thousand failures, however long a password takes to check.
    """

    def __init__(self, attempts: Attempts, clock: Clock, digest: Callable[[str], str]) -> None:
        """`digest`: what keys are stored as, e.g. `Sealer.digest`: people type passwords where their name belongs."""
        self._attempts = attempts
        self._clock = clock
        self._digest = digest

    async def begin(self, account: str, address: str) -> Attempt:
        """To be called before a password or code is checked. Raises TooManyAttempts, telling how long to wait."""
        attempt = self._stored(attempt_of(account, address))
        now = self._clock.now()

        def count(tallies: Mapping[str, Tally]) -> Mapping[str, Tally]:
            seconds = wait_seconds(tallies, attempt, now)
            if seconds:
                raise TooManyAttempts(f"Too many attempts to sign in failed. Try again in {seconds} s.", seconds)
            return counted(tallies, attempt, now)

        await self._attempts.change(attempt.limits, count)
        return attempt

    async def succeeded(self, attempt: Attempt) -> None:
        """The attempt was a right one."""
        await self._attempts.change(attempt.limits, lambda tallies: taken_back(tallies, attempt))

    def _stored(self, attempt: Attempt) -> Attempt:
        limits = {self._digest(key): limit for key, limit in attempt.limits.items()}
        return Attempt(self._digest(attempt.pair), limits)
