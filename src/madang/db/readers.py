"""The short way to the database for the busiest reads: connections of the driver, and statements that are ready."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql import asyncpg as dialect

from madang.db.hub import Connector

_DIALECT: Final = dialect.dialect()  # type: ignore[no-untyped-call]


class Statement:
    """A query in the driver's own form, with the names of its parameters in their order."""

    def __init__(self, query: Select[*tuple[Any, ...]]) -> None:
        compiled = query.compile(dialect=_DIALECT)
        self.sql: Final = str(compiled)
        self._fixed: Final = compiled.construct_params(_check=False)
        self._names: Final[Sequence[str]] = compiled.positiontup or ()

    def arguments(self, values: Mapping[str, object]) -> list[object]:
        """The values of the parameters, out of more than are asked for."""
        return [values[name] if name in values else self._fixed[name] for name in self._names]


class Readers:
    """A few connections that only read, each statement by itself, in the least time that the driver needs.

    SQLAlchemy and the pool of asyncpg take two to four times as long for a statement as the driver itself.
    """

    def __init__(self, connect: Connector, connections: int) -> None:
        self._connect = connect
        self._free = asyncio.Semaphore(connections)
        self._idle: list[asyncpg.Connection[asyncpg.Record]] = []  # the last used is used next and stays warm

    async def fetch(self, statement: Statement, values: Mapping[str, object]) -> list[asyncpg.Record]:
        """All rows. Raises what the driver raises; the connection is not used again then."""
        async with self._free:
            connection = self._idle.pop() if self._idle else await self._connect()
            try:
                found = await connection.fetch(statement.sql, *statement.arguments(values))
            except BaseException:
                connection.terminate()
                raise
            self._idle.append(connection)
            return found

    async def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            await self._idle.pop().close()
