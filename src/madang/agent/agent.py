"""The agent of one node: containers of a sandboxing runtime, kept by the keeper."""

from __future__ import annotations

import asyncio
import contextlib
import io
import platform
from collections.abc import AsyncIterator, Sequence
from typing import Final, cast

from madang import __version__
from madang.agent import archives
from madang.agent.cgroups import detect
from madang.agent.containers import PLAN_FILE, Container, ContainerDirectory, instant
from madang.agent.devices.inventory import Inventory
from madang.agent.devices.plugins import load_plugins
from madang.agent.environments.manifest import builtin_manifests
from madang.agent.environments.store import EnvironmentStore
from madang.agent.exec import KeptExec
from madang.agent.host import capacity, instance_name, processors, sandbox_identity, system_name
from madang.agent.keeper.plan import ExitRecord
from madang.agent.keeper_client import KeeperClient, KeeperError, Message
from madang.agent.probe import bubblewrap_problem
from madang.agent.processors import Processors
from madang.agent.reading import read_page
from madang.agent.runtimes.base import Host, Launch, Runtime
from madang.agent.runtimes.bubblewrap import BubblewrapRuntime
from madang.agent.runtimes.process import ProcessRuntime
from madang.agent.settings import AgentSettings
from madang.agent.stats import usage_of
from madang.agent.streams import BlockingReader, first_of, produced
from madang.domain.errors import Conflict, MadangError, NotFound, StaleEpoch, StartupError, StorageFull
from madang.domain.ids import SystemClock
from madang.domain.session import ExitReason
from madang.faults import write_point
from madang.schemas.agent import (
    ContainerSpec,
    ContainerStatus,
    EnvironmentStatus,
    ExecSpec,
    FileEntry,
    Limits,
    LogPage,
    NodeReport,
    Phase,
    Usage,
)

_LAUNCHES: Final = 8
_FULL: Final = "The node's disk is full; delete files or ask the node's administrator."


def choose_runtime(wanted: str, host: Host) -> tuple[Runtime, str]:
    """The runtime for this host, and why it is not the best one (empty when it is).

    Raises StartupError when `bubblewrap` is asked for by name and does not work.
    """
    if wanted == "process":
        return ProcessRuntime(host), "asked for by name"
    problem = bubblewrap_problem(host.identity)
    if not problem:
        return BubblewrapRuntime(host), ""
    if wanted == "bubblewrap":
        raise StartupError(f"bubblewrap does not work here: {problem}")
    return ProcessRuntime(host), f"bubblewrap does not work here: {problem}"


class LocalAgent:
    """The agent of the machine it runs on; see agent.base.Agent for the methods."""

    def __init__(self, settings: AgentSettings, host: Host, limits_reason: str) -> None:
        self._settings = settings
        self._host = host
        self._limits_reason = limits_reason
        self._runtime, self._runtime_reason = choose_runtime(settings.runtime, host)
        owner = host.identity if self._runtime.isolated else None
        self._directory = ContainerDirectory(host.agent_dir, owner)
        self._devices = Inventory(*load_plugins(settings.mock_gpus), owner)
        self._containers: dict[str, Container] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._keeper = KeeperClient(host.agent_dir, self._on_event, self._on_connect)
        self._environments = EnvironmentStore(
            settings.data_dir / "environments",
            [builtin_manifests(), settings.data_dir / "manifests"],
            settings.data_dir / "cache" / "uv",
            SystemClock(),
        )
        self._watchers: set[asyncio.Queue[ContainerStatus]] = set()
        self._execs: dict[str, KeptExec] = {}
        self._processors = Processors(processors())
        self._launching = asyncio.Semaphore(_LAUNCHES)  # those that wait for an environment hold up nobody
        self._cleaning: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, settings: AgentSettings) -> LocalAgent:
        """Prepare the host, connect to the keeper and adopt what runs.

        Raises StartupError, or InvalidInput for mock GPUs that cannot be read.
        """
        agent_dir = settings.data_dir / "agent"
        agent_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        agent_dir.chmod(0o711)
        cgroups, reason = detect(instance_name(settings.data_dir))
        agent = cls(settings, Host(agent_dir, sandbox_identity(), cgroups), reason)
        agent._containers = await asyncio.to_thread(agent._directory.load)
        await agent._devices.refresh()
        await agent._keeper.open()
        return agent

    async def close(self) -> None:
        """Let go of everything; containers keep running."""
        for container in self._containers.values():
            if container.starting is not None:
                container.starting.cancel()
                await asyncio.gather(container.starting, return_exceptions=True)
        for process in list(self._execs.values()):
            await process.close()
        await self._environments.close()
        await self._keeper.close()
        if self._cleaning:
            await asyncio.wait(self._cleaning)
        if self._host.cgroups is not None:
            self._host.cgroups.release()

    @property
    def keeper_pid(self) -> int:
        """Process id of the keeper."""
        return self._keeper.pid

    async def report(self) -> NodeReport:
        networks, networks_reason = self._runtime.networks()
        await self._devices.refresh()
        return NodeReport(
            name=self._settings.node_name,
            architecture=platform.machine(),
            system=system_name(),
            slots=capacity(self._settings.mem_reserve_bytes) | self._devices.slots(),
            runtime=self._runtime.name,
            runtime_reason=self._runtime_reason,
            isolated=self._runtime.isolated,
            limits=Limits.ENFORCED if self._host.cgroups else Limits.ADVISORY,
            limits_reason=self._limits_reason,
            networks=networks,
            networks_reason=networks_reason,
            version=__version__,
            devices=self._devices.devices,
            devices_reason=self._devices.reason,
        )

    # --- what the keeper says ---

    def _on_connect(self, hello: Message) -> None:
        """Compare with the keeper: it knows what runs, the disk knows what ended."""
        known = {str(view["container"]): view for view in cast("list[Message]", hello["containers"])}
        for name, container in self._containers.items():
            view = known.get(name)
            if view is not None and view["epoch"] == container.spec.epoch:
                self._take(container, view)
            elif container.phase is not Phase.ENDED and self._directory.read_exit(container):
                self._changed(container)

    def _on_event(self, event: Message) -> None:
        if event["event"] in ("exec-ended", "exec-failed"):
            process = self._execs.get(str(event["token"]))
            if process is not None:
                process.on_event(event)
                if event["event"] == "exec-ended":
                    self._execs.pop(process.token)
            return
        container = self._containers.get(str(event["container"]))
        if container is None:
            return
        if event["event"] == "output":
            container.changed.ring()
        elif event["epoch"] == container.spec.epoch:
            self._take(container, event)

    def _take(self, container: Container, view: Message) -> None:
        """Take over what the keeper says of a container."""
        container.main_pid = cast(int, view["pid"])
        if view["phase"] == "ended":
            if container.phase is not Phase.ENDED:
                container.take_exit(cast(ExitRecord, view["exit"]))
                self._changed(container)
        elif view["phase"] == "running" and container.phase is not Phase.RUNNING:
            container.phase = Phase.RUNNING
            container.started_at = instant(cast(float, view["started_at"]))
            self._processors.take(container.spec.container_id, container.cpus)
            self._changed(container)

    def _changed(self, container: Container) -> None:
        container.changed.ring()
        for watcher in self._watchers:
            watcher.put_nowait(container.status)
        if container.phase is Phase.ENDED:
            self._processors.give_back(container.spec.container_id)
            task = asyncio.create_task(asyncio.to_thread(self._clean, container))
            self._cleaning.add(task)
            task.add_done_callback(self._cleaning.discard)

    def _clean(self, container: Container) -> None:
        if self._host.cgroups is not None:
            self._host.cgroups.remove(container.spec.container_id)

    # --- life of a container ---

    def _find(self, container_id: str) -> Container:
        container = self._containers.get(container_id)
        if container is None:
            raise NotFound(f"There is no container {container_id} on node {self._settings.node_name}.")
        return container

    def _lock(self, container_id: str) -> asyncio.Lock:
        return self._locks.setdefault(container_id, asyncio.Lock())

    async def create(self, spec: ContainerSpec) -> ContainerStatus:
        async with self._lock(spec.container_id):
            existing = self._containers.get(spec.container_id)
            if existing is not None:
                if existing.spec.epoch == spec.epoch:
                    return existing.status
                if existing.spec.epoch > spec.epoch:
                    raise StaleEpoch(f"Container {spec.container_id} is at launch {existing.spec.epoch} already.")
                await self._remove(existing)
            self._directory.check_epoch(spec.container_id, spec.epoch)
            live = (one.spec for one in self._containers.values() if one.phase is not Phase.ENDED)
            self._devices.check(spec.devices, [share for other in live for share in other.devices])
            try:
                container = self._directory.create(spec)
            except OSError as error:
                raise StorageFull(f"{_FULL} ({error.strerror})") from None
            self._containers[spec.container_id] = container
            return container.status

    async def start(self, container_id: str, epoch: int) -> ContainerStatus:
        self._directory.check_epoch(container_id, epoch)
        container = self._current(container_id, epoch)
        if container.starting is None and container.phase is Phase.CREATED:
            container.phase = Phase.STARTING
            container.starting = asyncio.create_task(self._launch(container))
        if container.starting is not None:
            await asyncio.shield(asyncio.gather(container.starting, return_exceptions=True))
        return container.status

    def _current(self, container_id: str, epoch: int) -> Container:
        container = self._find(container_id)
        if epoch < container.spec.epoch:
            raise StaleEpoch(f"Container {container_id} is at launch {container.spec.epoch} already.")
        if epoch > container.spec.epoch:
            raise Conflict(f"Launch {epoch} of container {container_id} has not been created here.")
        return container

    async def _launch(self, container: Container) -> None:
        """From CREATED to RUNNING or ENDED; never raises."""
        try:
            name = container.spec.environment
            environment = self._environments.ready(name) or await self._environments.ensure(name)
            async with self._launching:
                container.cpus = self._processors.choose(container.spec.container_id, container.spec.cpu)
                attachment = self._devices.attach(container.spec.devices)
                launch = Launch(container.spec, container.directory, environment, container.cpus, attachment)
                self._prepare(container, launch)
                write_point("agent.before_launch")
                await self._hand_over(container)
                write_point("agent.after_launch")
        except asyncio.CancelledError:
            if container.phase is Phase.STARTING:
                container.phase = Phase.CREATED  # nothing was handed over: it can be started again
            raise
        except (MadangError, KeeperError) as error:
            self._launch_failed(container, getattr(error, "message", str(error)))
        except OSError as error:
            self._launch_failed(container, f"{error.strerror or error} ({error.filename or 'launch'})")
        finally:
            container.starting = None

    def _prepare(self, container: Container, launch: Launch) -> None:
        spec = launch.spec
        if self._host.cgroups is not None:
            self._host.cgroups.create(spec.container_id, spec.cpu, spec.mem, spec.processes)
        self._directory.write_plan(container, self._runtime.plan(launch))

    async def _hand_over(self, container: Container) -> None:
        """Give the launch to the keeper and wait until it runs or has ended."""
        try:
            view = await self._keeper.request("start", plan=str(container.directory / PLAN_FILE))
        except KeeperError:
            if self._directory.read_exit(container):  # an earlier keeper launched it and it has ended
                self._changed(container)
                return
            raise
        self._take(container, view)
        while container.phase is Phase.STARTING:
            await container.changed.wait(container.changed.rung)

    def _launch_failed(self, container: Container, message: str) -> None:
        if container.phase is not Phase.ENDED:
            container.end_without_launch(ExitReason.LAUNCH, message)
            self._changed(container)

    async def stop(self, container_id: str, epoch: int, grace_seconds: float) -> None:
        container = self._current(container_id, epoch)
        if container.phase is Phase.ENDED:
            return
        if container.phase is Phase.CREATED or (container.starting is not None and container.plan() is None):
            if container.starting is not None:
                container.starting.cancel()
                await asyncio.gather(container.starting, return_exceptions=True)
            container.end_without_launch(ExitReason.STOPPED, "stopped before it ran")
            self._changed(container)
            return
        write_point("agent.before_stop")
        await self._keeper.request("stop", container=container_id, grace=grace_seconds)
        write_point("agent.after_stop")

    async def remove(self, container_id: str, epoch: int) -> None:
        async with self._lock(container_id):
            container = self._containers.get(container_id)
            if container is None or container.spec.epoch > epoch:
                self._directory.remember(container_id, epoch)
            else:
                await self._remove(container)
        self._locks.pop(container_id, None)

    async def _remove(self, container: Container) -> None:
        if container.starting is not None:
            container.starting.cancel()
            await asyncio.gather(container.starting, return_exceptions=True)
        with contextlib.suppress(KeeperError):
            await self._keeper.request("forget", container=container.spec.container_id)
        await self._keeper.follow(container.spec.container_id, False)
        self._processors.give_back(container.spec.container_id)
        await asyncio.to_thread(self._clean, container)
        await asyncio.to_thread(self._directory.remove, container)
        self._containers.pop(container.spec.container_id, None)

    async def containers(self) -> Sequence[ContainerStatus]:
        return [container.status for container in self._containers.values()]

    async def watch(self) -> AsyncIterator[ContainerStatus]:
        queue: asyncio.Queue[ContainerStatus] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    async def usage(self, container_id: str) -> Usage | None:
        container = self._find(container_id)
        if container.phase is not Phase.RUNNING:
            return None
        return await asyncio.to_thread(usage_of, container, self._host.cgroups)

    # --- output, further processes, files ---

    async def read_log(self, container_id: str, cursor: int = 0, limit: int = 1 << 20, wait: float = 0) -> LogPage:
        container = self._find(container_id)
        deadline = asyncio.get_running_loop().time() + wait
        if wait > 0 and container.phase is not Phase.ENDED:
            await self._keeper.follow(container_id, True)
        while True:
            seen = container.changed.rung
            ended = container.phase is Phase.ENDED
            page = await asyncio.to_thread(read_page, container.log_directory, cursor, limit, ended)
            left = deadline - asyncio.get_running_loop().time()
            if page.chunks or page.ended or left <= 0:
                return page
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(container.changed.wait(seen), left)

    async def exec(self, container_id: str, spec: ExecSpec) -> KeptExec:
        container = self._find(container_id)
        plan = container.plan()
        if container.phase is not Phase.RUNNING or plan is None:
            raise Conflict(f"Container {container_id} does not run.")
        process = KeptExec(self._keeper, spec.terminal)
        self._execs[process.token] = process
        try:
            await process.start(container_id, plan["process"], spec)
        except BaseException:
            self._execs.pop(process.token, None)
            raise
        return process

    async def put_archive(self, container_id: str, archive: AsyncIterator[bytes], path: str = "") -> None:
        container = self._open_for_files(container_id)
        reader = io.BufferedReader(BlockingReader(archive, asyncio.get_running_loop()), 1 << 18)
        limit = self._settings.work_limit_bytes
        await asyncio.to_thread(archives.unpack, container.work, reader, path, limit)

    def _open_for_files(self, container_id: str) -> Container:
        container = self._find(container_id)
        if container.phase is Phase.ENDED:
            raise Conflict("The session has ended: its files can be read but not changed.")
        return container

    async def list_files(self, container_id: str, path: str = "") -> Sequence[FileEntry]:
        return await asyncio.to_thread(self._find(container_id).work.entries, path)

    async def read_file(self, container_id: str, path: str) -> AsyncIterator[bytes]:
        work = self._find(container_id).work
        return await first_of(produced(lambda write: work.read(path, write)))

    async def write_file(self, container_id: str, path: str, data: AsyncIterator[bytes]) -> None:
        container = self._open_for_files(container_id)
        reader = io.BufferedReader(BlockingReader(data, asyncio.get_running_loop()), 1 << 18)
        await asyncio.to_thread(container.work.write, path, reader)

    async def delete_file(self, container_id: str, path: str) -> None:
        await asyncio.to_thread(self._open_for_files(container_id).work.delete, path)

    async def read_archive(self, container_id: str, path: str = "") -> AsyncIterator[bytes]:
        work = self._find(container_id).work
        return await first_of(produced(lambda write: archives.pack(work, path, write)))

    async def environments(self) -> Sequence[EnvironmentStatus]:
        return await asyncio.to_thread(self._environments.statuses)

    async def build_environment(self, name: str) -> None:
        await self._environments.ensure(name)
