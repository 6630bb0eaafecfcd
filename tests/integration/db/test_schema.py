"""The schema's history: it leads to the tables the program knows, also from a database that is in use."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import madang.db.site_tables  # noqa: F401 - its tables are of the metadata, too
from madang.db.engine import connector
from madang.db.schema import config, migrate, newest
from madang.db.tables import metadata
from madang.domain.errors import StartupError


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    made = create_async_engine("postgresql+asyncpg://", async_creator=connector(database_url))
    yield made
    await made.dispose()


async def _difference(engine: AsyncEngine) -> list[object]:
    def compare(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with engine.connect() as connection:
        return await connection.run_sync(compare)


async def _go_back(engine: AsyncEngine, revision: str) -> None:
    async with engine.connect() as connection:
        await connection.run_sync(lambda one: command.downgrade(config(one), revision))
        await connection.commit()


async def test_the_migrations_make_exactly_the_tables_the_program_knows(engine: AsyncEngine) -> None:
    assert await _difference(engine) == []


async def test_a_database_of_the_first_release_is_brought_up_to_date(database_url: str, engine: AsyncEngine) -> None:
    await _go_back(engine, "0001")
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO users VALUES ('u', 'ann', 'user', now())")
    await connection.execute("INSERT INTO nodes VALUES ('node1', 'ready', '{}', '[]', '{}', now())")
    for name, kind, state, stop in (("a", "batch", "running", "NULL"), ("b", "interactive", "terminating", "now()")):
        await connection.execute(
            f"""
            INSERT INTO sessions (id, owner_id, name, kind, state, reason, environment, command, variables, slots,
                processes, network, stop_requested_at, created_at, started_at)
            VALUES ('{name}', 'u', '{name}', '{kind}', '{state}', '', 'python', '[]', '{{}}', '{{"cpu": 1000}}', 64,
                'none', {stop}, now(), now())
            """
        )
        await connection.execute(
            f"INSERT INTO containers (id, session_id, role, position, node, epoch, state, slots) "
            f"VALUES ('c{name}', '{name}', 'main', 0, 'node1', 1, 'running', '{{\"cpu\": 1000}}')"
        )
    await migrate(connector(database_url))
    assert await _difference(engine) == []
    rows = await connection.fetch("SELECT * FROM sessions ORDER BY id")
    assert [row["preemptible"] for row in rows] == [True, False]
    assert [row["stop_reason"] for row in rows] == ["", "user"]
    assert all(row["held_since"] is not None for row in rows)
    assert {(row["resource_group"], row["size"], row["layout"], row["priority"]) for row in rows} == {
        ("default", 1, "any", 0)
    }
    assert await connection.fetchval("SELECT resource_group FROM nodes") == "default"
    assert await connection.fetchval("SELECT devices FROM containers LIMIT 1") == "[]"
    mine = await connection.fetch(
        "SELECT user_id, role, p.id, p.name FROM memberships m JOIN projects p ON p.id = project_id"
    )
    assert [(row["user_id"], row["role"], row["name"]) for row in mine] == [("u", "member", "default")]
    assert {row["project_id"] for row in rows} == {mine[0]["id"]}
    await connection.close()


async def test_the_newest_migration_can_be_taken_back_and_done_again(database_url: str, engine: AsyncEngine) -> None:
    await _go_back(engine, "0001")
    assert await migrate(connector(database_url)) == newest()
    assert await _difference(engine) == []


async def test_a_database_of_a_newer_program_is_left_alone(database_url: str, engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StartupError, match="newer Madang"):
        await migrate(connector(database_url))
