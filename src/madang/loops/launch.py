"""The launch loop: makes and starts the containers of sessions that have their nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from madang.config import Settings
from madang.db.engine import Database, Transaction
from madang.db.hub import Hub
from madang.db.repositories import nodes, sessions
from madang.db.rows import ContainerRow, SessionRow
from madang.domain.errors import MadangError, StaleEpoch, Unavailable
from madang.domain.ids import Clock
from madang.domain.session import ExitReason, SessionState
from madang.fabric.base import Fabric
from madang.loops.outcomes import Word, gone
from madang.loops.settler import Settler
from madang.schemas.agent import ContainerSpec, ContainerStatus, DeviceShare, Phase
from madang.services.metrics import Metrics

_log = structlog.get_logger(__name__)

_PAUSES: Final = (0.2, 1.0, 3.0)
"""Before each further try on a node that does not answer; then the session goes back into the queue."""
_BLOCK: Final = 1 << 18
_HOSTNAME: Final = 63  # characters

DeviceIds = dict[tuple[str, str, int], str]
"""What devices are called by their nodes: by node, kind and index."""


class LaunchLoop:
    """Every call to the agent carries the epoch that was fixed when the session was scheduled, and is idempotent.

    After a crash the sessions that were being prepared are simply prepared again.
    """

    name = "launch"
    topics: Sequence[str] = ("session.scheduled", "launch")
    every_seconds = 5.0

    def __init__(
        self, settings: Settings, *, database: Database, fabric: Fabric, hub: Hub, clock: Clock, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._database = database
        self._fabric = fabric
        self._hub = hub
        self._clock = clock
        self._metrics = metrics
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._more = False  # whether there may be more to launch than there was room for
        self._settler = Settler(database, clock, "launch.settle")

    async def step(self) -> None:
        """Begin as many launches as there is room for."""
        free = self._settings.launches - len(self._busy)
        names = await self._fabric.nodes()
        if free <= 0 or not names:
            return

        async def claim(transaction: Transaction) -> list[SessionRow]:
            return await sessions.claim_scheduled(transaction, names, list(self._busy), free, self._clock.now())

        claimed = await self._database.transaction(claim, "launch.claim")
        self._more = len(claimed) == free
        try:
            ids = await self._device_ids(claimed)
        except MadangError as error:
            # Still PREPARING, and nobody is busy with them: the next step claims them again.
            _log.warning("launch_put_off", sessions=len(claimed), error=error.message)
            return
        for row in claimed:
            self._busy[row.id] = asyncio.create_task(self._launch(row, ids), name=f"launch {row.id}")

    async def close(self) -> None:
        """Give up waiting for launches; what they began goes on in the agent and is found again."""
        for task in tuple(self._busy.values()):
            task.cancel()
        for task in tuple(self._busy.values()):
            with suppress(asyncio.CancelledError):
                await task
        self._busy.clear()
        await self._settler.close()

    async def _launch(self, row: SessionRow, ids: DeviceIds) -> None:
        try:
            words = await self._bring_up_all(row, ids)
            await self._settler.settle(*words)
            self._metrics.launches.labels(_result(words)).inc()
            self._metrics.launch_seconds.observe((self._clock.now() - row.created_at).total_seconds())
        except (StaleEpoch, Unavailable) as error:
            await self._postpone(row, error)
        except MadangError as error:
            # When the database stays away, the session is still PREPARING in it and is launched again.
            _log.warning("launch_not_saved", session=row.id, error=error.message)
        finally:
            del self._busy[row.id]
            if self._more:
                self._hub.wake(["launch"])

    async def _bring_up_all(self, row: SessionRow, ids: DeviceIds) -> list[Word]:
        """Words about all containers; when one cannot be launched, about those that were heard of until then.

        The others are stopped as soon as the failure is written.
        """
        if len(row.containers) == 1:
            return [await self._bring_up(row, row.containers[0], ids)]
        tasks = [asyncio.create_task(self._bring_up(row, one, ids)) for one in row.containers]
        words: list[Word] = []
        try:
            for task in asyncio.as_completed(tasks):
                words.append(await task)
                if _launch_failed(words[-1]):
                    break
        finally:
            for unfinished in tasks:
                unfinished.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return words

    async def _bring_up(self, row: SessionRow, container: ContainerRow, ids: DeviceIds) -> Word:
        """Create, fill and start a container. Raises StaleEpoch, or Unavailable when the node does not answer."""
        try:
            return Word(container.node, await self._start(row, container, ids))
        except (StaleEpoch, Unavailable):
            raise
        except MadangError as error:
            message = error.message
        except Exception as error:
            _log.exception("launch_failed", session=row.id)
            message = f"The launch failed unexpectedly: {type(error).__name__}: {error}"
        return gone(container.node, container.id, container.epoch, ExitReason.LAUNCH, message)

    async def _start(self, row: SessionRow, container: ContainerRow, ids: DeviceIds) -> ContainerStatus:
        """Patiently while the node does not answer."""
        spec = self._spec(row, container, ids)
        for pause in (*_PAUSES, None):
            try:
                agent = self._fabric.agent(container.node)
                status = await agent.create(spec)
                if status.phase is Phase.CREATED and row.upload_id is not None:
                    archive = _read(self._settings.data_dir / "uploads" / row.upload_id)
                    await agent.put_archive(spec.container_id, archive)
                return await agent.start(spec.container_id, spec.epoch)
            except Unavailable:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _device_ids(self, rows: Sequence[SessionRow]) -> DeviceIds:
        names = {one.node for row in rows for one in row.containers if one.devices}
        if not names:
            return {}
        known = await self._database.read(lambda connection: nodes.some(connection, names))
        return {(node.name, one.kind, one.index): one.id for node in known for one in node.report.devices}

    def _spec(self, row: SessionRow, container: ContainerRow, ids: DeviceIds) -> ContainerSpec:
        place = {"MADANG_RANK": str(container.rank), "MADANG_SIZE": str(row.size)}
        known = {"MADANG_SESSION": row.id, "MADANG_SESSION_NAME": row.name, **place}
        return ContainerSpec(
            container_id=container.id,
            session_id=row.id,
            epoch=container.epoch,
            hostname=_hostname(row.name, container.rank),
            environment=row.environment,
            command=row.command,
            variables={**row.variables, **known},
            cpu=row.slots["cpu"],
            mem=row.slots["mem"],
            processes=row.processes,
            network=row.network,
            log_bytes=self._settings.log_limit_bytes,
            devices=_shares(container, ids),
            rank=container.rank,
            size=row.size,
        )

    async def _postpone(self, row: SessionRow, error: MadangError) -> None:
        """Back into the queue; the next launch has a higher epoch, so what this one left cannot come to life."""
        nodes_of = ", ".join(sorted({one.node for one in row.containers}))
        _log.warning("launch_postponed", session=row.id, nodes=nodes_of, error=error.message)
        self._metrics.launches.labels("postponed").inc()
        if len(row.containers) > 1:
            await self._let_go(row)

        async def postpone(transaction: Transaction) -> None:
            now = await sessions.lock(transaction, row.id)
            if now is not None and now.state is SessionState.PREPARING and _launch_of(now) == _launch_of(row):
                reason = f"the launch on {nodes_of} did not work: {error.message}"
                await sessions.move(transaction, now, SessionState.PENDING, self._clock.now(), reason)

        try:
            await self._database.transaction(postpone, "launch.postpone")
        except MadangError as unsaved:
            _log.warning("launch_not_saved", session=row.id, error=unsaved.message)

    async def _let_go(self, row: SessionRow) -> None:
        """End those containers that came up before the others could not."""
        for container in row.containers:
            try:
                await self._fabric.agent(container.node).remove(container.id, container.epoch)
            except MadangError as error:
                # The watch loop ends what nobody wants when the node answers again.
                _log.warning("not_removed", container=container.id, node=container.node, error=error.message)


def _launch_of(row: SessionRow) -> list[tuple[str, int]]:
    return [(one.id, one.epoch) for one in row.containers]


def _launch_failed(word: Word) -> bool:
    return word.status.exit is not None and word.status.exit.reason is ExitReason.LAUNCH


def _result(words: Sequence[Word]) -> str:
    """How a launch went, for the metrics."""
    if any(_launch_failed(word) for word in words):
        return "failed"
    return "running" if all(word.status.phase is Phase.RUNNING for word in words) else "ended"


def _hostname(name: str, rank: int) -> str:
    """The main container is called as its session is, the others with their rank behind it."""
    ending = f"-{rank}" if rank else ""
    return f"{name[: _HOSTNAME - len(ending)]}{ending}"


def _shares(container: ContainerRow, ids: DeviceIds) -> list[DeviceShare]:
    """Raises Unavailable when a device is no longer there: the session is placed anew then."""
    shares = []
    for one in container.devices:
        device_id = ids.get((container.node, one.kind, one.index))
        if device_id is None:
            raise Unavailable(f"Node '{container.node}' has lost its {one.kind} device {one.index}.")
        shares.append(DeviceShare(kind=one.kind, index=one.index, id=device_id, milli=one.milli))
    return shares


async def _read(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while block := await asyncio.to_thread(file.read, _BLOCK):
            yield block
