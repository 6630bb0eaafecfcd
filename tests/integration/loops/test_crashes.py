"""A manager that dies at any write: after a restart nothing is lost, doubled or held for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

import pytest

from madang.db import engine
from madang.db.engine import Transaction
from madang.db.repositories import groups
from madang.domain.errors import NotFound
from madang.domain.session import SessionState
from madang.schemas.api import GroupPolicy, Session, SessionCreate
from tests.world import World, eventually

T = TypeVar("T")


class Crash(BaseException):
    """The process is gone: from now on nothing is written any more."""


class CrashAt:
    """Counts write points, and from the n-th on lets nobody pass."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.passed: list[str] = []
        self.dead = asyncio.Event()

    def __call__(self, name: str) -> None:
        if self.number:
            self.passed.append(name)
            if len(self.passed) >= self.number:
                self.dead.set()
                raise Crash(name)

    def revive(self) -> None:
        self.number = 0
        self.dead.clear()


class Client:
    """Uses a manager that crashes once and is started again, and repeats what it does not know the result of."""

    def __init__(self, world: World, crash: CrashAt) -> None:
        self._world = world
        self._crash = crash

    async def create(self, request: SessionCreate) -> None:
        caller = await self._world.caller_of("admin")
        await self._again(lambda: self._world.services.sessions.create(caller, request, request.name))

    async def stop(self, ref: str) -> None:
        caller = await self._world.caller_of("admin")
        await self._again(lambda: self._world.services.sessions.stop(caller, ref))

    async def delete(self, ref: str) -> None:
        caller = await self._world.caller_of("admin")
        with suppress(NotFound):  # deleted before the crash
            await self._again(lambda: self._world.services.sessions.delete(caller, ref))

    async def until(self, ref: str, state: SessionState) -> Session:
        caller = await self._world.caller_of("admin")

        async def reached() -> Session | None:
            await self._restart_if_dead()
            found = await self._world.services.sessions.get(caller, ref)
            return found if found.state is state else None

        return await eventually(reached)

    async def until_clean(self) -> None:
        """Nothing is left on any node."""

        async def removed() -> bool:
            await self._restart_if_dead()
            return not any(agent.held for agent in self._world.fabric.agents.values())

        await eventually(removed, seconds=30)

    async def _again(self, step: Callable[[], Awaitable[T]]) -> T:
        for _ in range(3):
            try:
                return await step()
            except Crash:
                await self._restart_if_dead()
        raise AssertionError("It crashed more than once.")

    async def _restart_if_dead(self) -> None:
        if self._crash.dead.is_set():
            self._crash.revive()
            await self._world.crash()
            await self._world.start()


Life = Callable[[Client, str], Awaitable[None]]


async def _crash_everywhere(world: World, monkeypatch: pytest.MonkeyPatch, life: Life) -> set[str]:
    """Live through a crash at the first write point, then at the second, and so on; returns the points' names."""
    names: set[str] = set()
    at = 0
    while True:
        at += 1
        crash = CrashAt(at)
        monkeypatch.setattr(engine, "write_point", crash)
        client = Client(world, crash)
        await life(client, f"{at}")
        await client.until_clean()
        assert await world.used() == {}, f"slots leak after a crash at point {at}: {crash.passed[-1]}"
        for agent in world.fabric.agents.values():
            assert all(count == 1 for count in agent.started.values()), "an epoch was started twice"
        names |= set(crash.passed)
        if crash.number:
            crash.number = 0
            return names


@pytest.mark.timeout(900)  # two restarts for each of some thirty points
async def test_a_crash_at_every_write_point_of_a_life_converges(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = await world.caller()

    async def life(client: Client, key: str) -> None:
        await client.create(SessionCreate(command=["sleep"], name=f"a{key}", slots={"cpu": "0.1", "mem": "64m"}))
        await client.until(f"a{key}", SessionState.RUNNING)
        await client.stop(f"a{key}")
        await client.until(f"a{key}", SessionState.STOPPED)
        await client.delete(f"a{key}")

    names = await _crash_everywhere(world, monkeypatch, life)
    assert (await world.services.sessions.list(caller)).items == []
    for name in ("session.create", "schedule", "launch.claim", "launch.settle", "session.stop", "reap.removed"):
        assert {f"{name}:before", f"{name}:after"} <= names


@pytest.mark.timeout(900)  # two restarts for each of some fifty points
async def test_a_crash_at_every_write_point_while_a_gang_gives_way_and_comes_back_converges(
    cluster: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await cluster.caller()

    async def share(transaction: Transaction) -> None:
        await groups.save(transaction, "default", GroupPolicy(preemption=True), datetime.now(UTC))

    await cluster.database.transaction(share, "test")
    whole = {"cpu": "1", "mem": "64m", "cuda.device": "4"}

    async def life(client: Client, key: str) -> None:
        gang, urgent = f"gang-{key}", f"urgent-{key}"
        await client.create(SessionCreate(command=["sleep"], name=gang, slots=whole, size=3, max_seconds=3600))
        await client.until(gang, SessionState.RUNNING)
        await client.create(SessionCreate(kind="interactive", name=urgent, slots=whole))
        await client.until(urgent, SessionState.RUNNING)
        await client.until(gang, SessionState.PENDING)
        await client.stop(urgent)
        again = await client.until(gang, SessionState.RUNNING)
        assert again.requeues == 1
        await client.stop(gang)
        for name in (urgent, gang):
            await client.until(name, SessionState.STOPPED)
            await client.delete(name)

    names = await _crash_everywhere(cluster, monkeypatch, life)
    assert (await cluster.services.sessions.list(caller)).items == []
    assert {"schedule:before", "schedule:after"} <= names
