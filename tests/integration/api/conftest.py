"""A server over use cases in memory, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from madang.sdk import AsyncClient
from tests.doors import Site, opened
from tests.fake_platform import FakePlatform
from tests.fakes import FakeAgent


@pytest.fixture
def platform() -> Iterator[FakePlatform]:
    fake = FakePlatform()
    yield fake
    fake.close()


@pytest.fixture
def http(platform: FakePlatform) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {platform.token}"}
    with httpx.Client(base_url=platform.url, headers=headers, trust_env=False) as client:
        yield client


@pytest.fixture
async def client(platform: FakePlatform) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(platform.url, platform.token, patience=10) as client:
        yield client


@pytest.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    async for made in opened(Site(database_url, tmp_path, [FakeAgent()])):
        yield made
