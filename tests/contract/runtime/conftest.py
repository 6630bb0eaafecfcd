"""A real agent for each runtime, and a small language to say what a container should do."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from madang.agent.agent import LocalAgent
from madang.agent.settings import AgentSettings
from tests.conftest import open_directory
from tests.contract.runtime.bench import Bench

RUNTIMES = ["bubblewrap", "process"]
BARE = 'name = "bare"\ndescription = "nothing but Python"\npackages = []\n'


async def open_agent(data_dir: Path, runtime: str, mock_gpus: str = "") -> LocalAgent:
    (data_dir / "manifests").mkdir(exist_ok=True)
    (data_dir / "manifests" / "bare.toml").write_text(BARE)
    agent = await LocalAgent.open(AgentSettings(data_dir, "node", runtime, mock_gpus=mock_gpus))
    await agent.build_environment("bare")
    return agent


async def _bench(runtime: str) -> AsyncIterator[Bench]:
    if runtime == "bubblewrap" and sys.platform != "linux":
        pytest.skip("bubblewrap needs Linux")
    data_dir = open_directory()
    bench = Bench(await open_agent(data_dir, runtime), data_dir, runtime)
    try:
        yield bench
    finally:
        await bench.clear()
        await bench.agent.close()
        shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture(scope="session", params=RUNTIMES)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """An agent of every runtime: what these tests say holds for all."""
    async for made in _bench(request.param):
        yield made


@pytest.fixture(scope="session")
async def walled() -> AsyncIterator[Bench]:
    """An agent whose runtime promises walls."""
    async for made in _bench("bubblewrap"):
        yield made
