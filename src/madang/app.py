"""The composition root: the one place that knows every component and wires them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from madang.agent.agent import LocalAgent
from madang.agent.devices.inventory import summary
from madang.agent.settings import AgentSettings
from madang.api.app import create_app
from madang.api.server import ApiServer, bind
from madang.config import Settings
from madang.db.embedded import EmbeddedPostgres
from madang.db.engine import Database, connector
from madang.db.hub import Connector, Hub
from madang.db.leader import Leadership
from madang.db.schema import migrate
from madang.domain.devices import counted
from madang.domain.errors import StartupError, Unauthorized
from madang.domain.ids import Clock, SystemClock
from madang.domain.names import is_loopback
from madang.domain.slots import Slots
from madang.fabric.base import Fabric
from madang.fabric.local import LocalFabric
from madang.logs import configure_logs
from madang.loops.base import Loop, Runner
from madang.loops.directories import DirectoryLoop
from madang.loops.launch import LaunchLoop
from madang.loops.limits import LimitsLoop
from madang.loops.meter import MeterLoop
from madang.loops.reap import ReapLoop
from madang.loops.schedule import LEADER, ScheduleLoop
from madang.loops.watch import WatchLoop
from madang.schemas.agent import NodeReport
from madang.sdk.connection import FILE_NAME, Connection
from madang.services import Services
from madang.services.assembly import assemble
from madang.services.identity.sources import FILE_NAME as SIGN_IN_FILE
from madang.services.identity.sources import Sources
from madang.services.pulse import Pulse

Report = Callable[[str, str], None]

_ADMIN: Final = "admin"
_FILES: Final = 65_536  # open at once; some tools slow down where as many as the kernel can are allowed


def _allow_many_files() -> None:
    """Every open stream is a descriptor, and login shells allow only 1024 of those that they could."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _describe(node: NodeReport) -> str:
    """One line for whoever starts the platform: what the node is, and what it lacks and why."""
    parts = [
        f"{node.runtime} ({node.runtime_reason})" if node.runtime_reason else node.runtime,
        f"limits {node.limits}" + (f" ({node.limits_reason})" if node.limits_reason else ""),
        Slots(counted(node.slots)).human(),
    ]
    if node.devices:
        parts.append(summary(node.devices))
    if node.devices_reason:
        parts.append(node.devices_reason)
    if node.networks_reason:
        parts.append(f"network {' and '.join(node.networks)} only ({node.networks_reason})")
    return ", ".join(parts)


class Platform:
    """Everything that `madang up` runs, in one process and one PostgreSQL."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._stop_asked = asyncio.Event()
        self._cleanup = AsyncExitStack()
        self.url = ""
        self.token_path: Path = settings.data_dir / FILE_NAME
        self.first_start = False

    async def start(self, report: Report) -> None:
        """Start component after component; `report(component, detail)` is called when each is ready.

        Raises StartupError saying what to do. `stop` has to be called in any case.
        """
        _allow_many_files()
        self._prepare()
        sources = Sources.open(self._settings.sign_in_file or self._settings.data_dir / SIGN_IN_FILE, self._clock)
        self._cleanup.push_async_callback(sources.close)
        bound = bind(self._settings.host, self._settings.port)
        self._cleanup.callback(bound.close)
        connect = await self._start_database(report)
        report("migrations", f"revision {await migrate(connect)}")
        hub = Hub(connect)
        database = Database(connect, hub)
        self._cleanup.push_async_callback(database.close)
        await hub.start()
        self._cleanup.push_async_callback(hub.stop)
        fabric = await self._start_agent(report)
        pulse = Pulse()
        services = assemble(
            self._settings,
            database=database,
            hub=hub,
            fabric=fabric,
            clock=self._clock,
            pulse=pulse,
            sources=sources,
        )
        self._cleanup.push_async_callback(services.environments.close)
        self._cleanup.callback(services.sign_in.close)
        await services.site_key.claim()
        leadership = Leadership(connect, hub, LEADER)
        names = await self._start_loops(
            services=services,
            database=database,
            leadership=leadership,
            hub=hub,
            fabric=fabric,
            pulse=pulse,
            sources=sources,
        )
        report("loops", ", ".join(names))
        proxies = [one.strip() for one in self._settings.trusted_proxies.split(",") if one.strip()]
        app = create_app(services, host=self._settings.host)
        api = ApiServer(app, bound, self._settings.host, trusted_proxies=proxies)
        self.url = api.url
        await self._write_connection(services)
        self._cleanup.push_async_callback(api.stop)
        await api.start()
        report("api", self.url)

    async def serve(self) -> None:
        """Returns when a stop is asked for."""
        await self._stop_asked.wait()

    def request_stop(self) -> None:
        """Make `serve` return; safe to call from a signal handler of the event loop."""
        self._stop_asked.set()

    async def stop(self) -> None:
        """Stop in the reverse order of the start, as far as it came. Containers keep running."""
        await self._cleanup.aclose()

    def _prepare(self) -> None:
        """The data directory, the log, and the lock that keeps a second instance away."""
        data = self._settings.data_dir
        root = os.geteuid() == 0
        try:
            data.mkdir(mode=0o711 if root else 0o700, parents=True, exist_ok=True)
            if root and data.stat().st_uid == 0:
                data.chmod(0o711)  # other users' processes pass through; what lies inside has its own modes
            for name in ("run", "log"):
                (data / name).mkdir(mode=0o711 if root else 0o700, exist_ok=True)
            self._lock(data / "run" / "up.lock")
            configure_logs(data / "log")
        except OSError as error:
            raise StartupError(
                f"The data directory {data} cannot be used: {error.strerror}. Set MADANG_DATA_DIR to another one."
            ) from error

    def _lock(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise StartupError(
                f"Madang already runs on {self._settings.data_dir} (process {holder}). Use that one, stop it first, or "
                "choose another directory with --data-dir."
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        # The lock is the kernel's and ends with the process; the file itself means nothing and stays.
        self._cleanup.callback(os.close, descriptor)

    async def _start_database(self, report: Report) -> Connector:
        if self._settings.database_url is not None:
            report("database", "yours, from MADANG_DATABASE_URL")
            return connector(self._settings.database_url)
        server = EmbeddedPostgres(self._settings.data_dir)
        self._cleanup.push_async_callback(server.stop)
        await server.start()
        how = "made" if server.first_start else "adopted" if server.adopted else "started"
        report("database", f"embedded PostgreSQL, {how}")
        return connector(server.url())

    async def _start_agent(self, report: Report) -> Fabric:
        settings = self._settings
        agent = await LocalAgent.open(
            AgentSettings(
                data_dir=settings.data_dir,
                node_name=settings.node_name,
                runtime=settings.runtime,
                mem_reserve_bytes=settings.mem_reserve_bytes,
                mock_gpus=settings.mock_gpus,
                work_limit_bytes=settings.upload_limit_bytes,
            )
        )
        self._cleanup.push_async_callback(agent.close)
        fabric = LocalFabric(settings.node_name, agent)
        await fabric.start()
        self._cleanup.push_async_callback(fabric.stop)
        found = await agent.report()
        report("agent", _describe(found))
        if not found.isolated and not is_loopback(settings.host):
            raise StartupError(
                f"Sessions would run without walls on this machine ({found.runtime_reason}), so only its own user may "
                f"reach them: leave out `--host {settings.host}`."
            )
        return fabric

    async def _start_loops(
        self,
        *,
        services: Services,
        database: Database,
        leadership: Leadership,
        hub: Hub,
        fabric: Fabric,
        pulse: Pulse,
        sources: Sources,
    ) -> list[str]:
        settings, clock, metrics = self._settings, self._clock, services.metrics
        watch = WatchLoop(database=database, fabric=fabric, hub=hub, clock=clock)
        self._cleanup.push_async_callback(watch.close)
        await watch.step()  # the node is known, and what happened meanwhile is written, before anybody asks
        await services.presets.begin()
        loops: list[Loop] = [
            ScheduleLoop(database, leadership, clock, metrics),
            LaunchLoop(settings, database=database, fabric=fabric, hub=hub, clock=clock, metrics=metrics),
            watch,
            LimitsLoop(database, clock),
            MeterLoop(database, clock),
            ReapLoop(settings, database=database, fabric=fabric, clock=clock),
        ]
        if sources.passwords:
            loops.append(DirectoryLoop(settings, database=database, clock=clock, sources=sources))
        tasks = [asyncio.create_task(Runner(one, hub, pulse).run(), name=one.name) for one in loops]

        async def end() -> None:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task

        self._cleanup.push_async_callback(end)
        return [one.name for one in loops]

    async def _write_connection(self, services: Services) -> None:
        """Keep the first admin token, made once, in a file that only its owner can read."""
        path = self.token_path
        token = None
        with suppress(OSError, ValidationError):
            token = Connection.model_validate_json(path.read_bytes()).token
        if token is not None:
            try:
                await services.tokens.authenticate(token)
            except Unauthorized:
                token = None  # of another database, or revoked
        if token is None:
            token = await services.tokens.issue(_ADMIN, "admin", "first token")
            self.first_start = True
        partial = path.with_name(f".{path.name}.part")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(Connection(url=self.url, token=token).model_dump_json(exclude_defaults=True).encode())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
