"""A whole manager over a real database and fake nodes, started, crashed and started again by tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.agent.base import Agent
from madang.config import Settings
from madang.db.engine import Database, connector
from madang.db.hub import Hub
from madang.db.leader import Leadership
from madang.db.repositories import containers
from madang.db.tables import memberships, users
from madang.domain.errors import Unavailable
from madang.domain.ids import SystemClock
from madang.domain.people import DEFAULT_PROJECT, Caller, Membership, ProjectRole, Role
from madang.domain.session import SessionState
from madang.loops.base import Loop, Runner
from madang.loops.launch import LaunchLoop
from madang.loops.limits import LimitsLoop
from madang.loops.meter import MeterLoop
from madang.loops.reap import ReapLoop
from madang.loops.schedule import LEADER, ScheduleLoop
from madang.loops.watch import WatchLoop
from madang.schemas.api import Session, SessionCreate
from madang.services import Services
from madang.services.assembly import assemble
from madang.services.identity.passwords import Passwords
from madang.services.identity.sources import Sources
from madang.services.pulse import Pulse
from tests.fakes import FakeAgent

T = TypeVar("T")


class ShiftedClock(SystemClock):
    """The machine's clock, which tests may move forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


class FakeFabric:
    """Nodes in memory."""

    def __init__(self, agents: Sequence[FakeAgent]) -> None:
        self.agents = {agent.name: agent for agent in agents}

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def nodes(self) -> Sequence[str]:
        return list(self.agents)

    def agent(self, node: str) -> Agent:
        if node not in self.agents:
            raise Unavailable(f"Node '{node}' does not answer.")
        return self.agents[node]

    async def changes(self) -> AsyncIterator[str]:
        for name in self.agents:
            yield name


class World:
    """One manager. `crash` drops everything in memory at once; `start` begins anew from the database."""

    def __init__(self, url: str, data_dir: Path, agents: Sequence[FakeAgent]) -> None:
        self.url = url
        self.settings = Settings(data_dir=data_dir, launches=8)
        self.sources = Sources()
        self.clock = ShiftedClock()
        self.fabric = FakeFabric(agents)
        self.agent = agents[0]
        self.services: Services
        self.database: Database
        self.hub: Hub
        self.loops: list[Loop] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Services without loops."""
        connect = connector(self.url)
        self.hub = Hub(connect)
        self.database = Database(connect, self.hub)
        await self.hub.start()
        self.pulse = Pulse()
        self._passwords = Passwords(time_cost=1, memory_kib=64)  # many are hashed, and none is worth stealing
        self.services = assemble(
            self.settings,
            database=self.database,
            hub=self.hub,
            fabric=self.fabric,
            clock=self.clock,
            pulse=self.pulse,
            sources=self.sources,
            passwords=self._passwords,
        )
        metrics = self.services.metrics
        self.watch = WatchLoop(database=self.database, fabric=self.fabric, hub=self.hub, clock=self.clock)
        self.leadership = Leadership(connect, self.hub, LEADER)
        self.schedule = ScheduleLoop(self.database, self.leadership, self.clock, metrics)
        self.launch = LaunchLoop(
            self.settings,
            database=self.database,
            fabric=self.fabric,
            hub=self.hub,
            clock=self.clock,
            metrics=metrics,
        )
        self.reap = ReapLoop(self.settings, database=self.database, fabric=self.fabric, clock=self.clock)
        self.limits = LimitsLoop(self.database, self.clock)
        self.meter = MeterLoop(self.database, self.clock)
        self.loops = [self.watch, self.schedule, self.launch, self.limits, self.meter, self.reap]

    async def start(self) -> None:
        """Services and loops."""
        await self.open()
        await self.watch.step()
        self._tasks = [asyncio.create_task(Runner(loop, self.hub, self.pulse).run()) for loop in self.loops]

    async def crash(self) -> None:
        """End without a farewell."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await asyncio.gather(*(loop.close() for loop in self.loops), return_exceptions=True)
        await self.hub.stop()
        await self.database.close()
        self._passwords.close()

    async def caller(self, name: str = "admin", role: Role = "admin") -> Caller:
        return await self.services.tokens.authenticate(await self.services.tokens.issue(name, role, "test"))

    async def caller_of(self, name: str) -> Caller:
        """The caller of a user that was made before, without writing anything."""

        async def read(connection: AsyncConnection) -> Caller:
            row = (await connection.execute(select(users).where(users.c.name == name))).one()
            home = (await connection.execute(select(memberships).where(memberships.c.user_id == row.id))).one()
            mine = {home.project_id: Membership(home.project_id, DEFAULT_PROJECT, ProjectRole(home.role))}
            return Caller(row.id, row.name, row.role, row.domain_id, mine)

        return await self.database.read(read)

    async def run(self, caller: Caller, *command: str, **fields: object) -> Session:
        """Create a batch session."""
        request = {"command": list(command) or ["sleep"], "slots": {"cpu": "0.1", "mem": "64m"}, **fields}
        return await self.services.sessions.create(caller, SessionCreate.model_validate(request))

    async def until(self, caller: Caller, ref: str, *states: SessionState, seconds: float = 10) -> Session:
        """Wait for a session to reach one of the states."""

        async def reached() -> Session | None:
            found = await self.services.sessions.get(caller, ref)
            return found if found.state in states else None

        return await eventually(reached, seconds)

    async def used(self) -> dict[str, dict[str, int]]:
        return await self.database.read(containers.used_slots)

    async def container_of(self, session_id: str) -> str:
        held = [one for one, container in self.agent.held.items() if container.spec.session_id == session_id]
        return held[0]


async def eventually(probe: Callable[[], Awaitable[T | None]], seconds: float = 10) -> T:
    """Wait until a probe gives something true."""
    until = time.monotonic() + seconds
    while True:
        found = await probe()
        if found:
            return found
        assert time.monotonic() < until, "It did not happen in time."
        await asyncio.sleep(0.01)
