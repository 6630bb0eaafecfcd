"""One embedded PostgreSQL for the whole run, a fresh database and a fresh manager for each test."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from madang.db.embedded import EmbeddedPostgres
from madang.db.engine import connector
from madang.db.schema import migrate
from tests.fakes import FakeAgent
from tests.world import World

_TEMPLATE = "madang_template"
_numbers = itertools.count(1)


def open_directory() -> Path:
    """A temporary directory that other users may pass through, as the database user has to when tests run as root."""
    made = Path(tempfile.mkdtemp(prefix="madang-test-", dir="/tmp"))
    made.chmod(0o711)
    return made


@pytest.fixture
def data_dir() -> Iterator[Path]:
    made = open_directory()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
async def _made_before() -> AsyncIterator[Path]:
    made = open_directory()
    server = EmbeddedPostgres(made)
    await server.start()
    await server.stop()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def ready_dir(_made_before: Path, data_dir: Path) -> Path:
    """A data directory in which the database has been made already, for tests of everything but the first start."""
    subprocess.run(["cp", "-a", f"{_made_before}/.", str(data_dir)], check=True)
    return data_dir


@pytest.fixture(scope="session")
async def postgres() -> AsyncIterator[EmbeddedPostgres]:
    made = open_directory()
    server = EmbeddedPostgres(made)
    await server.start()
    try:
        for setting in ("fsync", "full_page_writes"):  # nobody pulls its plug; what is killed has a server of its own
            await _execute(server.url(), f"ALTER SYSTEM SET {setting} = off")
        await _execute(server.url(), "SELECT pg_reload_conf()")
        await _execute(server.url(), f"CREATE DATABASE {_TEMPLATE}")
        await migrate(connector(server.url(_TEMPLATE)))
        yield server
    finally:
        await server.stop()
        shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
async def database_url(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    name = f"test_{next(_numbers)}"
    await _execute(postgres.url(), f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY file_copy")
    yield postgres.url(name)
    await _execute(postgres.url(), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def idle_world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """Services without loops: the test makes the steps."""
    made = World(database_url, tmp_path, [FakeAgent()])
    await made.open()
    await made.watch.step()
    yield made
    await made.crash()


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A manager whose loops run."""
    made = World(database_url, tmp_path, [FakeAgent()])
    await made.start()
    yield made
    await made.crash()


async def _execute(url: str, statement: str) -> None:
    for attempt in range(20):
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
            return
        except asyncpg.ObjectInUseError:
            if attempt == 19:
                raise
            await asyncio.sleep(0.05)  # a backend that was told to end is still there
        finally:
            await connection.close()
