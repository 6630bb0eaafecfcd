"""Durable placements: a busy cluster whose sessions arrive, start on nodes in memory and end, over a real database."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.base import Bench, Result
from madang.db.embedded import EmbeddedPostgres
from madang.db.engine import connector
from madang.db.schema import migrate
from tests.conftest import open_directory
from tests.replay import Replay, cluster, kept_and_asked

NAMES = ("durable-placements-rps",)
SESSIONS = 20_000


def measure(bench: Bench) -> Sequence[Result]:
    """All loops of a manager on forty nodes of eight GPUs; slots in use are looked at after every 1,000th event."""
    return [uvloop.run(_measure())]


async def _measure() -> Result:
    made = open_directory()
    work = Path(tempfile.mkdtemp(prefix="madang-bench-"))
    server = EmbeddedPostgres(made)
    wrong: list[str] = []
    checks = 0
    try:
        await server.start()
        await migrate(connector(server.url()))
        engine = create_async_engine("postgresql+asyncpg://", async_creator=connector(server.url()))

        async def check() -> None:
            nonlocal checks
            checks += 1
            async with engine.connect() as connection:
                kept, asked = await kept_and_asked(connection)
            if kept != asked:
                wrong.append(f"slots differ at check {checks}")

        world = cluster(server.url(), work)
        await world.start()
        replay = Replay(world, SESSIONS, check)
        await replay.run()
        await world.crash()
        await engine.dispose()
    finally:
        await server.stop()
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(work, ignore_errors=True)
    note = f"{SESSIONS:,} sessions from arrival to end; slots right at {checks - len(wrong)} of {checks} looks"
    return Result("durable-placements-rps", replay.rate, None, note, len(wrong))
