"""Leadership: one manager at a time makes decisions of a kind, and what an earlier leader still writes is refused."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final
from zlib import crc32

import asyncpg
import structlog
from sqlalchemy import text

from madang.db.engine import Transaction
from madang.db.hub import Connector, Hub
from madang.domain.errors import Unavailable

_log = structlog.get_logger(__name__)

_SPACE: Final = 0x6D61_6467  # of advisory locks: "madg"
_TRY_SECONDS: Final = 0.5  # between tries of a manager that does not lead
_LOOK_SECONDS: Final = 10.0  # a connection over a network can be dead in silence
_TIMEOUT: Final = 5.0
_FAILURES: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

# A leader's machine that vanishes must not keep the lock for hours.
_KEEP_ALIVE: Final = "SET tcp_keepalives_idle = 4; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3"
_RAISE_EPOCH: Final = """
    INSERT INTO leaders (name, epoch) VALUES ($1, 1)
    ON CONFLICT (name) DO UPDATE SET epoch = leaders.epoch + 1 RETURNING epoch
"""
_FENCE: Final = text("SELECT epoch FROM leaders WHERE name = :name FOR UPDATE")


class Superseded(Unavailable):
    """Another manager leads by now, so nothing of this decision was saved."""


class Leadership:
    """Held by a lock on a connection of its own, so that it ends with the process, however that ends.

    `epoch` counts leaders and is None while this manager does not lead. A leader may be the last to know that it is
    none any more; `fence`, which begins every transaction of its decisions, is what makes that harmless.
    """

    def __init__(self, connect: Connector, hub: Hub, name: str) -> None:
        self._connect = connect
        self._hub = hub
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._lost = asyncio.Event()
        self.epoch: int | None = None

    @property
    def topic(self) -> str:
        """Wakes subscribers of this process when leadership was won or lost."""
        return f"leader:{self._name}"

    async def seek(self) -> None:
        """Begin to seek leadership, and seek it again whenever it is lost; returns when it was tried once."""
        if self._task is None:
            self._task = asyncio.create_task(self._seek(), name=self.topic)
        await self._tried.wait()

    async def close(self) -> None:
        """Give up leadership at once: another manager need not wait."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def fence(self, transaction: Transaction, epoch: int) -> None:
        """Hold off newer leaders until the end of the transaction. Raises Superseded when there is one already."""
        newest = await transaction.connection.scalar(_FENCE, {"name": self._name})
        if newest != epoch:
            self._lost.set()
            self._step_down()
            raise Superseded("Another manager has taken over; nothing was saved here.")

    async def _seek(self) -> None:
        while True:
            try:
                await self._lead_for_a_while()
            except _FAILURES as error:
                _log.warning("leadership_not_sought", what=self._name, error=str(error))
            self._tried.set()
            await asyncio.sleep(_TRY_SECONDS)

    async def _lead_for_a_while(self) -> None:
        """Try until the lock is free; then lead until the connection is lost. Raises what the connection does."""
        connection = await self._connect()
        lost = self._lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            await connection.execute(_KEEP_ALIVE, timeout=_TIMEOUT)
            while not await connection.fetchval(
                "SELECT pg_try_advisory_lock($1, $2)", _SPACE, _key(self._name), timeout=_TIMEOUT
            ):
                self._tried.set()
                if await _wait(lost, _TRY_SECONDS):
                    return
            self.epoch = await connection.fetchval(_RAISE_EPOCH, self._name, timeout=_TIMEOUT)
            self._tried.set()
            _log.info("leading", what=self._name, epoch=self.epoch)
            self._hub.wake([self.topic])
            while not await _wait(lost, _LOOK_SECONDS):
                await connection.execute("SELECT 1", timeout=_TIMEOUT)
        finally:
            self._step_down()
            connection.terminate()

    def _step_down(self) -> None:
        if self.epoch is not None:
            _log.info("leading_no_more", what=self._name, epoch=self.epoch)
            self.epoch = None
            self._hub.wake([self.topic])


def _key(name: str) -> int:
    """The second half of the lock's key: a signed 32-bit number."""
    return crc32(name.encode()) - (1 << 31)


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, at most so long; returns whether it happened."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
