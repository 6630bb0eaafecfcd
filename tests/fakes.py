"""An agent in memory that keeps the contract of agent.base and does what a test tells it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from madang.agent.base import ExecProcess
from madang.domain.errors import Conflict, MadangError, NotFound, StaleEpoch, Unavailable
from madang.domain.session import ExitReason
from madang.schemas.agent import (
    ContainerSpec,
    ContainerStatus,
    DeviceInfo,
    EnvironmentState,
    EnvironmentStatus,
    ExecSpec,
    ExitReport,
    FileEntry,
    Limits,
    LogChunk,
    LogPage,
    NodeReport,
    Phase,
    Stream,
    Usage,
)


@dataclass
class FakeContainer:
    """What the fake node has of a container."""

    spec: ContainerSpec
    phase: Phase = Phase.CREATED
    starts: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit: ExitReport | None = None
    log: bytes = b""
    files: dict[str, bytes] = field(default_factory=dict)
    stops: list[float] = field(default_factory=list)

    def status(self) -> ContainerStatus:
        return ContainerStatus(
            container_id=self.spec.container_id,
            epoch=self.spec.epoch,
            phase=self.phase,
            started_at=self.started_at,
            ended_at=self.ended_at,
            exit=self.exit,
        )


class FakeAgent:
    """Runs nothing. `["exit", "3"]` ends at once with that code; everything else runs until stopped or finished."""

    def __init__(self, name: str = "node1", slots: dict[str, int] | None = None, *, gpus: Sequence[str] = ()) -> None:
        """`gpus`: the models of its GPUs."""
        self.name = name
        self.slots = slots or {"cpu": 4000, "mem": 8 << 30}
        self.devices = [
            DeviceInfo(kind="cuda", index=index, id=f"{name}-{index}", model=model, mem=40 << 30, mock=True)
            for index, model in enumerate(gpus)
        ]
        if gpus:
            self.slots |= {"cuda.device": len(gpus), "cuda.shares": 1000 * len(gpus)}
        self.networks: list[str] = ["none", "outbound"]
        self.held: dict[str, FakeContainer] = {}
        self.fence: dict[str, int] = {}
        self.failures: dict[str, list[MadangError]] = defaultdict(list)
        self.calls: list[tuple[str, str]] = []
        self.started: dict[tuple[str, int], int] = defaultdict(int)
        self.reachable = True
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)  # the clock of the node
        self.stubborn = False  # ignores SIGTERM
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.changed = asyncio.Condition()
        self._watchers: set[asyncio.Queue[ContainerStatus]] = set()

    def fail(self, method: str, *errors: MadangError) -> None:
        """The next calls of a method raise these."""
        self.failures[method].extend(errors)

    def finish(self, container_id: str, code: int = 0, reason: ExitReason = ExitReason.EXITED) -> None:
        """The main process ends now."""
        container = self.held[container_id]
        number = {ExitReason.OOM: 9, ExitReason.SIGNAL: 11}.get(reason)
        report = ExitReport(reason=reason, code=None if number else code, signal=number)
        self._end(container, report)

    def say(self, container_id: str, text: bytes) -> None:
        """The main process writes."""
        self.held[container_id].log += text

    def lose(self, container_id: str) -> None:
        """The node forgets a container, as after a broken disk."""
        del self.held[container_id]

    def running(self) -> list[str]:
        return [one for one, container in self.held.items() if container.phase is Phase.RUNNING]

    def _called(self, method: str, container_id: str = "") -> None:
        self.calls.append((method, container_id))
        if not self.reachable:
            raise Unavailable(f"Node '{self.name}' does not answer.")
        if self.failures[method]:
            raise self.failures[method].pop(0)

    def _end(self, container: FakeContainer, report: ExitReport) -> None:
        if container.phase is Phase.ENDED:
            return
        container.phase = Phase.ENDED
        container.exit = report
        container.ended_at = self.now()
        self._tell(container)

    def _tell(self, container: FakeContainer) -> None:
        for queue in self._watchers:
            queue.put_nowait(container.status())

    def _find(self, container_id: str, epoch: int | None = None) -> FakeContainer:
        if epoch is not None and epoch < max(self.fence.get(container_id, 0), 0):
            raise StaleEpoch("An older launch.")
        container = self.held.get(container_id)
        if container is None:
            raise NotFound(f"No container {container_id}.")
        if epoch is not None and epoch < container.spec.epoch:
            raise StaleEpoch("An older launch.")
        return container

    async def report(self) -> NodeReport:
        self._called("report")
        return NodeReport.model_validate(
            {
                "name": self.name,
                "architecture": "x86_64",
                "system": "Test",
                "slots": self.slots,
                "runtime": "bubblewrap",
                "runtime_reason": "",
                "isolated": True,
                "limits": Limits.ENFORCED,
                "limits_reason": "",
                "networks": self.networks,
                "networks_reason": "" if "outbound" in self.networks else "Neither pasta nor slirp4netns is there.",
                "version": "0",
                "devices": self.devices,
            }
        )

    async def create(self, spec: ContainerSpec) -> ContainerStatus:
        self._called("create", spec.container_id)
        if spec.epoch <= self.fence.get(spec.container_id, 0):
            raise StaleEpoch("An older launch.")
        held = self.held.get(spec.container_id)
        if held is not None and held.spec.epoch > spec.epoch:
            raise StaleEpoch("An older launch.")
        if held is None or held.spec.epoch < spec.epoch:
            held = self.held[spec.container_id] = FakeContainer(spec)
        return held.status()

    async def put_archive(self, container_id: str, archive: AsyncIterator[bytes], path: str = "") -> None:
        self._called("put_archive", container_id)
        container = self._find(container_id)
        container.files["archive"] = b"".join([block async for block in archive])

    async def start(self, container_id: str, epoch: int) -> ContainerStatus:
        self._called("start", container_id)
        await self.may_start.wait()
        container = self._find(container_id, epoch)
        if container.phase is Phase.CREATED:
            container.starts += 1
            self.started[container_id, epoch] += 1
            container.phase = Phase.RUNNING
            container.started_at = self.now()
            self._tell(container)
            if container.spec.command[0] == "exit":
                self._end(container, ExitReport(reason=ExitReason.EXITED, code=int(container.spec.command[1])))
        return container.status()

    async def stop(self, container_id: str, epoch: int, grace_seconds: float) -> None:
        self._called("stop", container_id)
        container = self._find(container_id, epoch)
        container.stops.append(grace_seconds)
        if self.stubborn and grace_seconds and container.phase is Phase.RUNNING:
            return
        self._end(container, ExitReport(reason=ExitReason.STOPPED, signal=15))

    async def remove(self, container_id: str, epoch: int) -> None:
        self._called("remove", container_id)
        held = self.held.get(container_id)
        if held is not None and held.spec.epoch > epoch:
            raise StaleEpoch("An older launch.")
        self.fence[container_id] = max(epoch, self.fence.get(container_id, 0))
        self.held.pop(container_id, None)

    async def containers(self) -> Sequence[ContainerStatus]:
        self._called("containers")
        return [container.status() for container in self.held.values()]

    async def watch(self) -> AsyncIterator[ContainerStatus]:
        queue: asyncio.Queue[ContainerStatus] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    async def usage(self, container_id: str) -> Usage | None:
        self._called("usage", container_id)
        if self._find(container_id).phase is not Phase.RUNNING:
            return None
        return Usage(at=datetime.now(UTC), cpu_seconds=1, mem_bytes=1, mem_peak_bytes=1, processes=1)

    async def read_log(self, container_id: str, cursor: int = 0, limit: int = 1 << 20, wait: float = 0) -> LogPage:
        self._called("read_log", container_id)
        container = self._find(container_id)
        until = asyncio.get_running_loop().time() + wait
        while len(container.log) <= cursor and container.phase is not Phase.ENDED:
            if asyncio.get_running_loop().time() >= until:
                break
            await asyncio.sleep(0.005)
        data = container.log[cursor : cursor + limit]
        end = cursor + len(data)
        chunks = [LogChunk(cursor=end, stream="stdout", at=datetime.now(UTC), data=data)] if data else []
        return LogPage(chunks=chunks, cursor=end, ended=container.phase is Phase.ENDED and end == len(container.log))

    async def exec(self, container_id: str, spec: ExecSpec) -> ExecProcess:
        self._called("exec", container_id)
        if self._find(container_id).phase is not Phase.RUNNING:
            raise Conflict("The container does not run.")
        return FakeExec(spec)

    async def list_files(self, container_id: str, path: str = "") -> Sequence[FileEntry]:
        self._called("list_files", container_id)
        return [
            FileEntry(path=name, kind="file", size=len(data), modified_at=datetime.now(UTC))
            for name, data in self._find(container_id).files.items()
        ]

    async def read_file(self, container_id: str, path: str) -> AsyncIterator[bytes]:
        self._called("read_file", container_id)
        files = self._find(container_id).files
        if path not in files:
            raise NotFound(f"There is no file '{path}'.")

        async def blocks() -> AsyncIterator[bytes]:
            yield files[path]

        return blocks()

    async def write_file(self, container_id: str, path: str, data: AsyncIterator[bytes]) -> None:
        self._called("write_file", container_id)
        self._find(container_id).files[path] = b"".join([block async for block in data])

    async def delete_file(self, container_id: str, path: str) -> None:
        self._called("delete_file", container_id)
        self._find(container_id).files.pop(path)

    async def read_archive(self, container_id: str, path: str = "") -> AsyncIterator[bytes]:
        return await self.read_file(container_id, "archive")

    async def environments(self) -> Sequence[EnvironmentStatus]:
        self._called("environments")
        return [
            EnvironmentStatus(
                name=name,
                description=f"The {name} environment",
                state=EnvironmentState.READY,
                digest="0" * 64,
                packages=[],
                python="3.11",
            )
            for name in ("python", "pytorch")
        ]

    async def build_environment(self, name: str) -> None:
        self._called("build_environment")


class FakeExec:
    """Echoes what it is sent."""

    def __init__(self, spec: ExecSpec) -> None:
        self.spec = spec
        self._sent: list[bytes] = []

    async def write(self, data: bytes) -> None:
        self._sent.append(data)

    async def close_stdin(self) -> None: ...

    async def resize(self, rows: int, columns: int) -> None: ...

    async def signal(self, number: int) -> None: ...

    async def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        for data in self._sent:
            yield "stdout", data

    async def wait(self) -> ExitReport:
        return ExitReport(reason=ExitReason.EXITED, code=0)

    async def close(self) -> None: ...
