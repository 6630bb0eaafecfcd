"""The embedded PostgreSQL under everything that can happen to it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from madang.db.embedded import EmbeddedPostgres
from madang.db.engine import connector
from madang.db.postmaster import serves
from madang.db.schema import migrate
from madang.domain.errors import StartupError, Unavailable
from madang.domain.session import SessionState
from madang.schemas.api import SessionCreate
from tests.fakes import FakeAgent
from tests.world import World, eventually


@pytest.fixture
async def server(ready_dir: Path) -> AsyncIterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(ready_dir)
    await made.start()
    yield made
    await made.stop()


async def _answers(server: EmbeddedPostgres) -> bool:
    try:
        connection = await asyncpg.connect(server.url())
    except (OSError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


async def test_only_its_own_user_can_come_near_it(server: EmbeddedPostgres, data_dir: Path) -> None:
    for name in ("postgres", "run/postgres"):
        assert stat.S_IMODE((data_dir / name).stat().st_mode) == 0o700
    assert stat.S_IMODE((data_dir / "postgres.password").stat().st_mode) == 0o600
    assert [one for one in psutil.Process(server.pid).net_connections("inet") if one.status == "LISTEN"] == []
    wrong = server.url().replace("madang:", "madang:x")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong)


async def test_no_mode_above_the_data_directory_is_touched(data_dir: Path) -> None:
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedPostgres(closed / "data")
    if os.geteuid() == 0:
        with pytest.raises(StartupError, match="may not enter"):
            await server.start()
    else:
        await server.start()
        await server.stop()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


async def test_a_server_that_was_left_running_is_adopted(server: EmbeddedPostgres, data_dir: Path) -> None:
    second = EmbeddedPostgres(data_dir)
    await second.start()
    assert second.adopted
    assert second.pid == server.pid
    assert await _answers(second)
    await second.stop()


async def test_an_adopted_server_is_stopped_and_supervised_too(server: EmbeddedPostgres, data_dir: Path) -> None:
    second = EmbeddedPostgres(data_dir)
    await second.start()
    old = second.pid
    assert server._supervisor is not None
    server._supervisor.cancel()  # its manager is dead
    os.kill(old, signal.SIGKILL)
    await eventually(lambda: _answers(second))
    assert second.pid != old
    await second.stop()
    assert not serves(second.pid, data_dir / "postgres")


async def test_a_stale_pid_file_that_names_another_program_is_no_obstacle(ready_dir: Path) -> None:
    data_dir = ready_dir
    # The number now belongs to somebody else, who must not be harmed.
    bystander = subprocess.Popen(  # noqa: ASYNC220
        [
            sys.executable,
            "-c",
            "import time; time.sleep(60)",
        ]
    )
    try:
        (data_dir / "postgres" / "postmaster.pid").write_text(
            f"{bystander.pid}\n{data_dir}/postgres\n1\n5432\n{data_dir}/run/postgres\n\n 1 1\nready   \n"
        )
        again = EmbeddedPostgres(data_dir)
        await again.start()
        assert not again.adopted
        assert await _answers(again)
        await again.stop()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


async def test_an_interrupted_first_start_is_done_again(data_dir: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from madang.db.embedded import EmbeddedPostgres;"
        "asyncio.run(EmbeddedPostgres(Path(sys.argv[1])).start())"
    )
    first = subprocess.Popen(  # noqa: ASYNC220
        [
            sys.executable,
            "-c",
            code,
            str(data_dir),
        ],
        start_new_session=True,
    )
    partial = data_dir / ".postgres.partial" / "data" / "base"
    until = time.monotonic() + 30
    while not partial.exists():
        assert time.monotonic() < until
        assert first.poll() is None
        await asyncio.sleep(0.001)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert not (data_dir / "postgres").exists()
    server = EmbeddedPostgres(data_dir)
    await server.start()
    assert await _answers(server)
    await server.stop()
    assert not (data_dir / ".postgres.partial").exists()


async def test_a_directory_with_a_long_path_works(data_dir: Path) -> None:
    deep = data_dir / ("d" * 60) / ("e" * 60)
    for directory in (deep.parent, deep):
        directory.mkdir(mode=0o711)
    server = EmbeddedPostgres(deep)
    await server.start()
    assert await _answers(server)
    place = server._socket_dir
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    await server.stop()
    assert not place.exists()


async def test_a_full_disk_is_told_as_such(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(data_dir)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(StartupError, match="is full: less than 64 MiB are free"):
        await EmbeddedPostgres(data_dir).start()


async def test_a_wrong_database_url_is_told_as_such() -> None:
    with pytest.raises(StartupError, match="Check MADANG_DATABASE_URL"):
        await migrate(connector("postgresql://nobody@127.0.0.1:1/nothing"))


@pytest.mark.parametrize("victim", ["backend", "postmaster"])
async def test_the_platform_gets_over_a_killed_server_under_load(
    server: EmbeddedPostgres, data_dir: Path, tmp_path: Path, victim: str
) -> None:
    await migrate(connector(server.url()))
    agent = FakeAgent(slots={"cpu": 400_000, "mem": 1 << 40})
    world = World(server.url(), tmp_path, [agent])
    await world.start()
    try:
        caller = await world.caller()
        made: list[str] = []
        failed = 0

        async def client(number: int) -> None:
            nonlocal failed
            for turn in range(6):
                key = f"{number}-{turn}"
                for _ in range(40):
                    try:
                        one = await world.services.sessions.create(caller, _request(), key)
                        made.append(one.id)
                        break
                    except Unavailable:
                        failed += 1
                        await asyncio.sleep(0.1)
                else:
                    raise AssertionError("It never recovered.")

        clients = [asyncio.create_task(client(number)) for number in range(8)]
        await asyncio.sleep(0.05)
        os.kill(server.pid if victim == "postmaster" else await _a_backend(server), signal.SIGKILL)
        await asyncio.gather(*clients)
        assert len(set(made)) == len(made) == 48
        for one in made:
            await world.until(caller, one, SessionState.SUCCEEDED, seconds=30)
        assert await world.used() == {}
        assert all(count == 1 for count in agent.started.values())
        # Listeners hear again.
        stream = world.services.streams.events(caller)
        new = await world.run(caller, "exit", "0")
        async with asyncio.timeout(10):
            async for event in stream:
                if event is not None and event.session == new.id and event.kind == "session.succeeded":
                    break
    finally:
        await world.crash()


def _request() -> SessionCreate:
    return SessionCreate(command=["exit", "0"], slots={"cpu": "0.1", "mem": "64m"})


async def _a_backend(server: EmbeddedPostgres) -> int:
    connection = await asyncpg.connect(server.url())
    found: int = await connection.fetchval(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'madang' AND pid <> pg_backend_pid() LIMIT 1"
    )
    await connection.close()
    return found
