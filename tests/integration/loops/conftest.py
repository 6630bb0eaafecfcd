"""A manager over three nodes with four GPUs each, whose loops run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes import FakeAgent
from tests.world import World


def three_nodes() -> list[FakeAgent]:
    return [FakeAgent(f"node{number}", gpus=["A100"] * 4) for number in (1, 2, 3)]


@pytest.fixture
async def cluster(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    made = World(database_url, tmp_path, three_nodes())
    await made.start()
    yield made
    await made.crash()
