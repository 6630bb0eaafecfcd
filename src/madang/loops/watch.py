"""The watch loop: hears from the nodes what became of containers, and compares with the database at times."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

import structlog

from madang.agent.base import Agent
from madang.db.engine import Database, Transaction
from madang.db.hub import Hub
from madang.db.repositories import containers, nodes
from madang.db.rows import KeptRow
from madang.domain.container import ContainerState
from madang.domain.errors import MadangError, NotFound, StaleEpoch, Unavailable
from madang.domain.ids import Clock
from madang.domain.session import ENDED, ExitReason, SessionState
from madang.fabric.base import Fabric
from madang.loops.outcomes import Word, gone
from madang.loops.settler import Settler
from madang.schemas.agent import ContainerStatus, Phase

_log = structlog.get_logger(__name__)

_COMPARE_SECONDS: Final = 10.0
_REFRESH_SECONDS: Final = 30.0
_SILENT: Final = timedelta(seconds=90)

Known = dict[str, KeptRow]


class WatchLoop:
    """News come from `Agent.watch`; whatever it misses, the comparison finds."""

    name = "watch"
    topics: Sequence[str] = ("watch",)
    every_seconds = 10.0

    def __init__(self, *, database: Database, fabric: Fabric, hub: Hub, clock: Clock) -> None:
        self._database = database
        self._fabric = fabric
        self._hub = hub
        self._clock = clock
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._heard: deque[Word] = deque()
        self._compared: dict[str, float] = {}
        self._saved: dict[str, tuple[float, object]] = {}
        self._settler = Settler(database, clock, "watch.settle")

    async def step(self) -> None:
        """Write down what was heard; compare the nodes that are due."""
        names = await self._fabric.nodes()
        await self._listen(names)
        heard = list(self._heard)
        self._heard.clear()
        try:
            await self._together(self._settler.settle(word) for word in heard)
        except MadangError:
            self._compared.clear()  # what was heard is lost, so look at everything
            raise
        now = time.monotonic()
        due = [name for name in names if now - self._compared.get(name, float("-inf")) >= _COMPARE_SECONDS]
        for name in due:
            self._compared[name] = now
            await self._visit(name)
        if due:
            await self._notice_silence()

    async def close(self) -> None:
        for task in self._watchers.values():
            task.cancel()
        for task in self._watchers.values():
            with suppress(asyncio.CancelledError):
                await task
        self._watchers.clear()
        await self._settler.close()

    async def _listen(self, names: Sequence[str]) -> None:
        for name in names:
            watcher = self._watchers.get(name)
            if watcher is None or watcher.done():
                self._watchers[name] = asyncio.create_task(self._hear(name), name=f"watch {name}")
                self._compared.pop(name, None)
        await asyncio.sleep(0)  # lets new watchers subscribe before anything is compared

    async def _hear(self, name: str) -> None:
        try:
            async for status in self._fabric.agent(name).watch():
                # That a container runs is written down by who started it.
                if status.phase is Phase.ENDED:
                    self._heard.append(Word(name, status))
                    self._hub.wake(["watch"])
        except Unavailable as error:
            _log.warning("node_unreachable", node=name, error=error.message)

    async def _together(self, work: Iterable[Awaitable[None]]) -> None:
        """All of it, however one fails; then the first error."""
        results = await asyncio.gather(*work, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _visit(self, name: str) -> None:
        try:
            agent = self._fabric.agent(name)
            await self._refresh(name, agent)
            await self._compare(name, agent)
        except Unavailable as error:
            _log.warning("node_unreachable", node=name, error=error.message)

    async def _refresh(self, name: str, agent: Agent) -> None:
        """Keep the node's row up to date: at once when it changed, else at times as a sign of life."""
        report = await agent.report()
        environments = sorted(status.name for status in await agent.environments())
        saved_at, saved = self._saved.get(name, (float("-inf"), None))
        if saved == (report, environments) and time.monotonic() - saved_at < _REFRESH_SECONDS:
            return

        async def write(transaction: Transaction) -> None:
            await nodes.save(transaction, report, environments, self._clock.now())

        await self._database.transaction(write, "watch.node")
        self._saved[name] = (time.monotonic(), (report, environments))

    async def _compare(self, name: str, agent: Agent) -> None:
        # In this order: what the database has as running before the agent is asked must be in the answer, and what is
        # in the answer must be in the database that is read afterwards, unless it is not wanted.
        before = await self._database.read(lambda connection: containers.running_on(connection, name))
        found = {status.container_id: status for status in await agent.containers()}
        after = await self._database.read(lambda connection: containers.on_node(connection, name))
        await self._together(
            self._settler.settle(gone(name, row.id, row.epoch, ExitReason.LOST))
            for row in before
            if row.id not in found
        )
        await self._together(self._judge(name, agent, status, after) for status in found.values())

    async def _judge(self, name: str, agent: Agent, status: ContainerStatus, known: Known) -> None:
        row = known.get(status.container_id)
        if row is None or row.epoch != status.epoch or row.session_state is SessionState.PENDING:
            _log.info("container_not_wanted", container=status.container_id, node=name, epoch=status.epoch)
            with suppress(StaleEpoch, NotFound):  # a newer launch has taken its place
                await agent.stop(status.container_id, status.epoch, 0)
                await agent.remove(status.container_id, status.epoch)
            return
        if status.phase is Phase.ENDED:
            if row.session_state not in ENDED and row.state is not ContainerState.ENDED:
                await self._settler.settle(Word(name, status))
        elif row.session_state in ENDED:
            await agent.stop(status.container_id, status.epoch, 0)

    async def _notice_silence(self) -> None:
        """Nodes that no manager has heard of for long take no new sessions."""
        now = self._clock.now()
        silent = [
            node.name
            for node in await self._database.read(nodes.every)
            if node.ready and now - node.last_seen_at > _SILENT
        ]

        async def write(transaction: Transaction) -> None:
            for name in silent:
                await nodes.mark_unreachable(transaction, name, now)

        if silent:
            await self._database.transaction(write, "watch.silence")
