"""Thousands of arrivals and departures through the real loops and the real database: nothing is lost or kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from madang.db.engine import connector
from madang.loops.picture import Picture
from tests.replay import Replay, cluster, kept_and_asked

SESSIONS = int(os.environ.get("MADANG_REPLAY", "10000"))


@pytest.mark.timeout(1800)
async def test_slots_in_use_are_always_those_of_what_runs(database_url: str, tmp_path: Path) -> None:
    world = cluster(database_url, tmp_path)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connector(database_url))
    checks = 0

    async def check() -> None:
        nonlocal checks
        async with engine.connect() as connection:
            kept, asked = await kept_and_asked(connection)
        assert kept == asked
        assert kept
        checks += 1

    await world.start()
    try:
        replay = Replay(world, SESSIONS, check)
        await replay.run()
        print(f"{replay.rate:.0f} placements a second")
        assert checks >= 2 * SESSIONS // 1000 - 1
        assert await world.used() == {}
        assert sum(len(agent.started) for agent in world.fabric.agents.values()) >= SESSIONS
        for agent in world.fabric.agents.values():
            assert all(count == 1 for count in agent.started.values())
        picture = world.schedule._picture
        if picture is not None:
            await world.database.read(picture.follow)
            assert picture.differences(await world.database.read(Picture.read)) == []
    finally:
        await world.crash()
        await engine.dispose()
