"""A busy cluster played through the real loops and the database: sessions arrive, start on nodes in memory, and end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.config import Settings
from madang.db.engine import Transaction
from madang.db.repositories import containers, live, sessions
from madang.db.rows import SessionRow
from madang.domain.devices import WHOLE, claim_of, device_slot, shares_slot
from madang.domain.ids import new_id
from madang.domain.session import SessionKind, SessionState
from madang.schemas.agent import Phase
from tests.fakes import FakeAgent
from tests.world import World, eventually

Used = dict[str, dict[str, int]]

_NODES: Final = 40
_AT_ONCE: Final = 100  # arrivals in a transaction
_BACKLOG: Final = 300  # sessions that wait, about
_KEPT_SECONDS: Final = 3.0  # ended containers on their node
_TICK_SECONDS: Final = 0.02
_ENDING: Final = 0.3  # of those that run, at each tick

# What people ask for: slots of a container, and how many containers.
_WISHES: Final[list[tuple[dict[str, int], int]]] = [
    ({"cpu": 2000, "mem": 4 << 30, "cuda.shares": 300}, 1),
    ({"cpu": 2000, "mem": 4 << 30, "cuda.shares": 500}, 1),
    ({"cpu": 4000, "mem": 8 << 30, "cuda.device": 1}, 1),
    ({"cpu": 8000, "mem": 16 << 30, "cuda.device": 2}, 1),
    ({"cpu": 1000, "mem": 2 << 30}, 1),
    ({"cpu": 4000, "mem": 8 << 30, "cuda.device": 1}, 2),
]
_WEIGHTS: Final = [30, 20, 25, 5, 18, 2]


@dataclass
class Replay:
    """Plays `sessions` arrivals and as many departures on a world that has been started.

    `check` is called at every 1,000th event. Rates are of this machine and of whatever else it does.
    """

    world: World
    sessions: int
    check: Callable[[], Awaitable[None]] | None = None
    seed: int = 42
    arrived: int = 0
    departed: int = 0
    seconds: float = 0.0
    _chance: random.Random = field(default_factory=random.Random)
    _project: str = ""

    async def run(self) -> None:
        """Returns when all have ended and nothing is held any more."""
        self._chance.seed(self.seed)
        callers = [await self.world.caller(f"user-{number}", "user") for number in range(10)]
        owners = [(one.user_id, one.name) for one in callers]
        [self._project] = callers[0].memberships
        began = time.monotonic()
        checked = 0
        while self.departed < self.sessions:
            running = self._depart()
            if self.arrived < self.sessions and self.arrived - self.departed - running < _BACKLOG:
                await self._arrive(owners)
            if self.check is not None and (self.arrived + self.departed) // 1000 > checked:
                checked += 1
                await self.check()
            await asyncio.sleep(_TICK_SECONDS)
        await eventually(self._nothing_is_held, seconds=60)
        self.seconds = time.monotonic() - began

    @property
    def rate(self) -> float:
        """Durable placements a second."""
        return self.sessions / self.seconds

    async def _nothing_is_held(self) -> bool:
        return not await self.world.used()

    async def _arrive(self, owners: list[tuple[str, str]]) -> None:
        count = min(_AT_ONCE, self.sessions - self.arrived)
        rows = [self._row(*self._chance.choice(owners)) for _ in range(count)]

        async def save(transaction: Transaction) -> None:
            await sessions.add(transaction, *rows)

        await self.world.database.transaction(save, "replay.arrive")
        self.arrived += count

    def _depart(self) -> int:
        """Some of those that run end by themselves; returns how many still run."""
        now = datetime.now(UTC)
        running = 0
        for agent in self.world.fabric.agents.values():
            for one, container in list(agent.held.items()):
                if container.phase is Phase.ENDED and container.ended_at is not None:
                    if (now - container.ended_at).total_seconds() > _KEPT_SECONDS:
                        del agent.held[one]
                elif container.phase is Phase.RUNNING and container.spec.rank == 0:
                    running += 1
                    if self._chance.random() < _ENDING:
                        agent.finish(one)
                        self.departed += 1
                        running -= 1
        return running

    def _row(self, owner_id: str, owner: str) -> SessionRow:
        slots, size = self._chance.choices(_WISHES, _WEIGHTS)[0]
        session_id = new_id()
        return SessionRow(
            id=session_id,
            owner_id=owner_id,
            owner=owner,
            name=f"replay-{session_id[-10:]}",
            kind=SessionKind.BATCH,
            state=SessionState.PENDING,
            reason="waits for its turn",
            environment="python",
            command=["sleep"],
            variables={},
            slots=slots,
            processes=64,
            network="none",
            upload_id=None,
            stop_requested_at=None,
            stop_grace_seconds=10,
            created_at=self.world.clock.now(),
            started_at=None,
            ended_at=None,
            deleted_at=None,
            size=size,
            preemptible=True,
            project_id=self._project,
        )


def cluster(url: str, data_dir: Path) -> World:
    """A manager over forty nodes of eight GPUs, not started yet."""
    slots = {"cpu": 96_000, "mem": 512 << 30}
    world = World(url, data_dir, [FakeAgent(f"node{n:02}", dict(slots), gpus=["A100"] * 8) for n in range(_NODES)])
    world.settings = Settings(data_dir=data_dir)
    return world


async def kept_and_asked(connection: AsyncConnection) -> tuple[Used, Used]:
    """Slots in use as the database has them, and as what running sessions asked for says; of the same moment.

    Raises AssertionError when a device is given away more than once.
    """
    async with connection.begin():
        await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        kept = await containers.used_slots(connection)
        rows = await live.every(connection)
        uses = await containers.device_uses(connection)
    asked: Used = {}
    for row in rows:
        assert row.state is SessionState.PENDING or len(row.parts) == row.size
        for part in row.parts:
            node = asked.setdefault(part.node, {})
            for slot, amount in _wish(row.slots).items():
                node[slot] = node.get(slot, 0) + amount
    milli: dict[tuple[str, str, int], int] = {}
    for one in uses:
        key = one.node, one.kind, one.index
        milli[key] = milli.get(key, 0) + one.milli
    assert all(amount <= WHOLE for amount in milli.values()), "a device was given away more than once"
    return kept, asked


def _wish(slots: dict[str, int]) -> dict[str, int]:
    """What one container takes, devices both as shares and as whole ones."""
    claim = claim_of(slots)
    if claim is None:
        return slots
    plain = {name: amount for name, amount in slots.items() if not name.startswith(f"{claim.kind}.")}
    plain[shares_slot(claim.kind)] = claim.total
    if claim.whole:
        plain[device_slot(claim.kind)] = claim.count
    return plain
