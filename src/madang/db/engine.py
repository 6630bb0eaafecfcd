"""Access to the database: short transactions that retry themselves, and reads without one."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final, TypeVar

import asyncpg
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from madang.db.failures import Failure, as_domain, classify
from madang.db.hub import CHANNEL, EVERYTHING, Connector, Hub
from madang.db.readers import Readers, Statement
from madang.faults import write_point

T = TypeVar("T")
Scalar = str | int | float | bool | None

_PATIENCE_SECONDS: Final = 3.0  # how long a request waits for a database that restarts
_ATTEMPTS: Final = 8
_READERS: Final = 4
_FAILURES: Final = (DBAPIError, PoolTimeout, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

_WRITE_EVENTS: Final = text(
    """
    WITH written AS (
        INSERT INTO events (at, kind, session_id, owner_id, data)
        SELECT at, kind, session_id, owner_id, data FROM jsonb_to_recordset(:events)
            AS e(at timestamptz, kind text, session_id text, owner_id text, data jsonb)
    )
    SELECT pg_notify(:channel, :payload)
    """
).bindparams(bindparam("events", type_=JSONB))


def connector(url: str) -> Connector:
    """Opens connections to a `postgresql://` URL, with what asyncpg understands in it (host, sslmode, ...)."""

    async def connect() -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(url, timeout=10, server_settings={"application_name": "madang", "timezone": "UTC"})

    return connect


class Transaction:
    """One transaction: its connection, the events it writes, and whom to wake when it is committed."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self._events: list[dict[str, object]] = []
        self._topics: set[str] = set()

    def emit(
        self,
        kind: str,
        at: datetime,
        data: dict[str, Scalar],
        *,
        session_id: str | None = None,
        owner_id: str | None = None,
    ) -> None:
        """Write an event together with the change it tells of; wakes `kind`, `events` and `session:<id>`."""
        self._events.append(
            {"at": at.isoformat(), "kind": kind, "session_id": session_id, "owner_id": owner_id, "data": data}
        )
        self._topics |= {kind, "events"}
        if session_id is not None:
            self._topics.add(f"session:{session_id}")

    def wake(self, *topics: str) -> None:
        """Wake subscribers when the transaction is committed, without an event."""
        self._topics |= set(topics)


class Database:
    """A small pool of connections. Nothing that talks to a node may run inside of `transaction` or `read`."""

    def __init__(self, connect: Connector, hub: Hub, *, connections: int = 8) -> None:
        self._hub = hub
        self._engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=10,
            pool_use_lifo=True,  # the same few connections stay warm
        )
        self._reader = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._readers = Readers(connect, _READERS)

    async def close(self) -> None:
        await self._readers.close()
        await self._engine.dispose()

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run statements that only read, each by itself. Raises Unavailable when the database stays away."""
        until = time.monotonic() + _PATIENCE_SECONDS
        attempt = 0
        while True:
            try:
                async with self._reader.connect() as connection:
                    return await work(connection)
            except _FAILURES as error:
                attempt += 1
                await self._pause_or_raise(error, attempt, until)

    async def fetch(self, statement: Statement, values: Mapping[str, object]) -> list[asyncpg.Record]:
        """The rows of one statement that only reads, for what is read most. Raises Unavailable, as `read` does."""
        until = time.monotonic() + _PATIENCE_SECONDS
        attempt = 0
        while True:
            try:
                return await self._readers.fetch(statement, values)
            except _FAILURES as error:
                attempt += 1
                await self._pause_or_raise(error, attempt, until)

    async def transaction(self, work: Callable[[Transaction], Awaitable[T]], name: str) -> T:
        """Run `work` in one transaction, again when it met another or lost its connection before the commit.

        `work` must have no effect outside the database. Raises Unavailable, StorageFull, and what `work` raises;
        nothing is saved then, unless the connection broke during the commit itself, which the message says.
        """
        until = time.monotonic() + _PATIENCE_SECONDS
        attempt = 0
        while True:
            committing = False
            try:
                async with self._engine.connect() as connection:
                    transaction = Transaction(connection)
                    result = await work(transaction)
                    await self._write_events(transaction)
                    write_point(f"{name}:before")
                    committing = True
                    await connection.commit()
                write_point(f"{name}:after")
                self._hub.wake(transaction._topics)
                return result
            except _FAILURES as error:
                if committing and classify(error) is Failure.CONNECTION:
                    self._hub.wake([EVERYTHING])  # it may have been saved after all
                    raise as_domain(Failure.CONNECTION, outcome_unknown=True) from error
                attempt += 1
                await self._pause_or_raise(error, attempt, until)

    async def _write_events(self, transaction: Transaction) -> None:
        if not transaction._topics:
            return
        payload = self._hub.payload(transaction._topics)
        if transaction._events:
            values = {"events": transaction._events, "channel": CHANNEL, "payload": payload}
            await transaction.connection.execute(_WRITE_EVENTS, values)
        else:
            await transaction.connection.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})

    async def _pause_or_raise(self, error: Exception, attempt: int, until: float) -> None:
        """Wait a moment before the next try; raise when there is none."""
        failure = classify(error)
        if failure is None:
            raise error
        if failure is Failure.CONTENTION and attempt < _ATTEMPTS:
            await asyncio.sleep(random.uniform(0, 0.005 * 2**attempt))  # noqa: S311 - no secret
        elif failure is Failure.CONNECTION and time.monotonic() < until and not isinstance(error, PoolTimeout):
            await asyncio.sleep(min(0.02 * 2**attempt, 0.25))
        else:
            raise as_domain(failure) from error


_NOTIFY: Final = text("SELECT pg_notify(:channel, :payload)")
