"""Wake-ups: whoever waits for a change is told at once, whichever process made it."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Final

import asyncpg
import structlog

_log = structlog.get_logger(__name__)

CHANNEL: Final = "madang"
EVERYTHING: Final = "*"
_PAYLOAD_LIMIT: Final = 7000  # PostgreSQL allows 7999 bytes

Connector = Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]]
"""Opens one connection to the database."""


class Subscription:
    """One waiter's interest in some topics. Wake-ups while nobody waits are kept, and several become one."""

    def __init__(self, hub: Hub, topics: Iterable[str]) -> None:
        self._hub = hub
        self._topics = frozenset(topics)
        self._event = asyncio.Event()
        for topic in self._topics:
            hub._waiting[topic].add(self)

    def wake(self) -> None:
        self._event.set()

    @property
    def woken(self) -> bool:
        """Whether there was a wake-up that nobody has waited for."""
        return self._event.is_set()

    async def wait(self, seconds: float) -> bool:
        """Wait for a wake-up, at most so long; returns whether there was one."""
        if not self._event.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._event.wait()
        return self.take()

    def take(self) -> bool:
        """Whether there was a wake-up that nobody has waited for; from now on there was none."""
        woken = self._event.is_set()
        self._event.clear()
        return woken

    def close(self) -> None:
        for topic in self._topics:
            waiting = self._hub._waiting.get(topic)
            if waiting is not None:
                waiting.discard(self)
                if not waiting:
                    del self._hub._waiting[topic]

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Hub:
    """Wakes subscribers of this process directly, and those of other processes through LISTEN/NOTIFY.

    A wake-up is a hint, never the news itself: whoever is woken reads the database. After the listening connection was
    lost everybody is woken, because what was said meanwhile is gone.
    """

    def __init__(self, connect: Connector) -> None:
        self._connect = connect
        self._waiting: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._me = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._listener: asyncio.Task[None] | None = None

    def subscribe(self, *topics: str) -> Subscription:
        """Begin to collect wake-ups of these topics; close it, or use it as a context manager."""
        return Subscription(self, topics)

    def wake(self, topics: Iterable[str]) -> None:
        """Wake the subscribers of this process."""
        for topic in topics:
            if topic == EVERYTHING:
                for waiting in tuple(self._waiting.values()):
                    for subscription in waiting:
                        subscription.wake()
                return
            for subscription in self._waiting.get(topic, ()):
                subscription.wake()

    def payload(self, topics: Iterable[str]) -> str:
        """What to pass to pg_notify so that other processes wake their subscribers."""
        written = " ".join([self._me, *sorted(topics)])
        return written if len(written) < _PAYLOAD_LIMIT else f"{self._me} {EVERYTHING}"

    async def start(self) -> None:
        """Begin to listen; raises what connecting raises when the database is not there."""
        connection, lost = await self._listen()
        self._listener = asyncio.create_task(self._keep_listening(connection, lost), name="hub")

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener
            self._listener = None

    async def _listen(self) -> tuple[asyncpg.Connection[asyncpg.Record], asyncio.Event]:
        connection = await self._connect()
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(CHANNEL, self._heard)
        return connection, lost

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        sender, *topics = str(payload).split(" ")
        if sender != self._me:
            self.wake(topics)

    async def _keep_listening(self, connection: asyncpg.Connection[asyncpg.Record], lost: asyncio.Event) -> None:
        try:
            while True:
                await self._until_lost(connection, lost)
                connection.terminate()
                connection, lost = await self._reconnect()
                self.wake([EVERYTHING])
        finally:
            connection.terminate()

    async def _until_lost(self, connection: asyncpg.Connection[asyncpg.Record], lost: asyncio.Event) -> None:
        while not lost.is_set():
            try:
                async with asyncio.timeout(30):
                    await lost.wait()
            except TimeoutError:
                try:  # a connection over a network can be dead in silence
                    await connection.execute("SELECT 1", timeout=10)
                except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    return

    async def _reconnect(self) -> tuple[asyncpg.Connection[asyncpg.Record], asyncio.Event]:
        delay = 0.05
        while True:
            try:
                return await self._listen()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if delay >= 2:
                    _log.warning("database_unreachable", error=str(error), again_in_seconds=delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)
