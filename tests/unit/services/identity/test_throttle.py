"""Attempts are counted before they are looked at, so many at once get no more guesses than one after the other."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from madang.domain.errors import TooManyAttempts
from madang.domain.throttle import Tally
from madang.services.identity.sealed import Sealer
from madang.services.identity.throttle import Change, Throttle


class _Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


class _Attempts:
    """What the table will be."""

    def __init__(self) -> None:
        self.rows: dict[str, Tally] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def change(self, keys: Collection[str], change: Change) -> None:
        async with AsyncExitStack() as held:
            for key in sorted(keys):
                await held.enter_async_context(self._locks[key])
            found = {key: self.rows[key] for key in keys if key in self.rows}
            await asyncio.sleep(0)
            self.rows |= change(found)


SEALER = Sealer([b"k" * 32])


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def attempts() -> _Attempts:
    return _Attempts()


@pytest.fixture
def throttle(attempts: _Attempts, clock: _Clock) -> Throttle:
    return Throttle(attempts, clock, SEALER.digest)


async def test_a_thousand_at_once_are_a_thousand(throttle: Throttle) -> None:
    begun = await asyncio.gather(*(throttle.begin("minji", "203.0.113.5") for _ in range(1000)), return_exceptions=True)
    assert sum(not isinstance(one, TooManyAttempts) for one in begun) == 5


async def test_several_managers_count_together(attempts: _Attempts, clock: _Clock) -> None:
    managers = [Throttle(attempts, clock, SEALER.digest) for _ in range(3)]
    for number in range(5):
        await managers[number % 3].begin("minji", "203.0.113.5")
    for manager in managers:
        with pytest.raises(TooManyAttempts):
            await manager.begin("minji", "203.0.113.5")


async def test_who_has_to_wait_is_told_how_long_and_is_not_counted(throttle: Throttle, clock: _Clock) -> None:
    for _ in range(5):
        await throttle.begin("minji", "203.0.113.5")
    for _ in range(20):
        with pytest.raises(TooManyAttempts, match="again in 1 s") as caught:
            await throttle.begin("minji", "203.0.113.5")
        assert caught.value.retry_after_seconds == 1
    clock.at += timedelta(seconds=1)
    await throttle.begin("minji", "203.0.113.5")
    with pytest.raises(TooManyAttempts, match="again in 2 s"):
        await throttle.begin("minji", "203.0.113.5")


async def test_signing_in_rightly_is_never_held_up(throttle: Throttle) -> None:
    for _ in range(300):
        await throttle.succeeded(await throttle.begin("minji", "203.0.113.5"))


async def test_what_was_typed_as_a_name_is_not_stored(throttle: Throttle, attempts: _Attempts) -> None:
    await throttle.begin("oh this is my password", "203.0.113.5")
    assert attempts.rows
    assert "password" not in repr(attempts.rows)
    assert "203.0.113" not in repr(attempts.rows)
