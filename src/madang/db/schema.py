"""Bringing the schema of the database up to date when the program starts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from madang.db.hub import Connector
from madang.domain.errors import StartupError

_LOCK: Final = 0x6D61_6461_6E67  # "madang": one migration at a time, however many managers start
_OLDEST: Final = 14


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without a file."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    made.attributes["connection"] = connection
    return made


def newest() -> str:
    """The revision this program needs."""
    head = ScriptDirectory.from_config(config()).get_current_head()
    if head is None:
        raise StartupError("The program holds no migrations: install it again.")
    return head


async def migrate(connect: Connector) -> str:
    """Apply what is missing; returns the revision. Raises StartupError saying what to do."""
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_migrate)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, DBAPIError) as error:
        raise StartupError(
            f"The database cannot be used: {str(error).splitlines()[0]}. Check MADANG_DATABASE_URL and the server."
        ) from error
    except CommandError as error:
        raise StartupError(
            f"The schema of the database does not fit ({error}): it was made by a newer Madang. Start that one."
        ) from error
    finally:
        await engine.dispose()


def _migrate(connection: Connection) -> str:
    version = connection.scalar(text("SELECT current_setting('server_version_num')::int"))
    if version is None or version < _OLDEST * 10_000:
        raise StartupError(f"PostgreSQL {_OLDEST} or newer is needed; this server has {(version or 0) // 10_000}.")
    # Held by the connection, not by a transaction: Alembic commits in between.
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
    connection.commit()
    command.upgrade(config(connection), "head")
    # A dump loaded into another server brings transaction numbers of the old one, maybe from its future.
    connection.execute(text("UPDATE events SET xid = 0 WHERE xid >= pg_current_xact_id()::text::bigint"))
    connection.commit()
    return newest()
