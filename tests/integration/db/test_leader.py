"""Leadership: one at a time, soon another when it is gone, and never two who decide."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from madang.db.engine import Database, Transaction, connector
from madang.db.hub import Hub
from madang.db.leader import Leadership, Superseded
from tests.world import eventually


class Manager:
    """One who seeks leadership."""

    def __init__(self, url: str) -> None:
        connect = connector(url)
        self.hub = Hub(connect)
        self.database = Database(connect, self.hub)
        self.leadership = Leadership(connect, self.hub, "test")

    async def leads(self) -> bool:
        return self.leadership.epoch is not None

    async def decide(self, epoch: int) -> None:
        async def work(transaction: Transaction) -> None:
            await self.leadership.fence(transaction, epoch)

        await self.database.transaction(work, "test")

    async def close(self) -> None:
        await self.leadership.close()
        await self.database.close()


@pytest.fixture
async def two(database_url: str) -> AsyncIterator[tuple[Manager, Manager]]:
    first, second = Manager(database_url), Manager(database_url)
    yield first, second
    await first.close()
    await second.close()


async def test_one_leads_and_the_other_takes_over_when_it_closes(two: tuple[Manager, Manager]) -> None:
    first, second = two
    await first.leadership.seek()
    await second.leadership.seek()
    assert (first.leadership.epoch, second.leadership.epoch) == (1, None)
    await first.leadership.close()
    began = time.monotonic()
    await eventually(second.leads)
    assert time.monotonic() - began < 2
    assert (first.leadership.epoch, second.leadership.epoch) == (None, 2)


async def test_a_leader_whose_connection_is_cut_steps_down_at_once(
    two: tuple[Manager, Manager], database_url: str
) -> None:
    first, second = two
    await first.leadership.seek()
    await second.leadership.seek()
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
        "WHERE l.locktype = 'advisory' AND d.datname = current_database()"
    )
    await connection.close()

    async def down() -> bool:
        return first.leadership.epoch is None

    began = time.monotonic()
    await eventually(down)
    assert time.monotonic() - began < 1

    async def somebody() -> bool:
        return first.leadership.epoch is not None or second.leadership.epoch is not None

    await eventually(somebody)
    assert {first.leadership.epoch, second.leadership.epoch} == {None, 2}


async def test_what_an_earlier_leader_decides_is_refused_and_it_learns_so(
    two: tuple[Manager, Manager], database_url: str
) -> None:
    first, second = two
    await first.leadership.seek()
    await first.decide(1)
    # The server lost sight of the first leader, which does not know yet.
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE leaders SET epoch = 2 WHERE name = 'test'")
    await connection.close()
    with pytest.raises(Superseded):
        await first.decide(1)
    assert first.leadership.epoch is None
    await second.leadership.seek()

    async def settled() -> bool:
        return (first.leadership.epoch or second.leadership.epoch) == 3

    await eventually(settled)


async def test_a_decision_under_way_holds_off_the_next_leader(two: tuple[Manager, Manager]) -> None:
    first, second = two
    await first.leadership.seek()
    decided: list[str] = []
    deciding = asyncio.Event()

    async def slow(transaction: Transaction) -> None:
        await first.leadership.fence(transaction, 1)
        deciding.set()
        await asyncio.sleep(0.5)
        decided.append("first")

    work = asyncio.create_task(first.database.transaction(slow, "test"))
    await deciding.wait()
    await first.leadership.close()
    await second.leadership.seek()
    await eventually(second.leads)
    decided.append("second leads")
    await work
    assert decided == ["first", "second leads"]


async def test_a_database_that_is_away_is_waited_for(two: tuple[Manager, Manager], database_url: str) -> None:
    first, _ = two
    tried = 0

    async def connect() -> asyncpg.Connection[asyncpg.Record]:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise OSError("nobody listens")
        return await connector(database_url)()

    leadership = Leadership(connect, first.hub, "patient")
    await leadership.seek()
    assert leadership.epoch is None

    async def leads() -> bool:
        return leadership.epoch == 1

    await eventually(leads)
    await leadership.close()
