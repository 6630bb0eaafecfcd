"""`madang up`: start everything in the foreground, say what happens, and stop cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from madang import __version__
from madang.cli import output
from madang.cli.client import build_environment
from madang.cli.i18n import t
from madang.domain.errors import MadangError, StartupError
from madang.domain.names import is_loopback

if TYPE_CHECKING:
    from madang.app import Platform
    from madang.config import Settings
    from madang.sdk import AsyncClient

_FIRST_ENVIRONMENT: Final = "python"
_COUNT_SECONDS: Final = 3.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="up", help=t("up.help"))(up)


def up(
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help=t("up.port"))] = None,
    host: Annotated[str | None, typer.Option("--host", help=t("up.host"))] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help=t("up.data_dir"))] = None,
    runtime: Annotated[
        str | None, typer.Option("--runtime", metavar="auto|bubblewrap|process", help=t("up.runtime"))
    ] = None,
    database_url: Annotated[str | None, typer.Option("--database-url", help=t("up.database_url"))] = None,
    mock_gpus: Annotated[
        str | None, typer.Option("--mock-gpus", metavar="4xA100[,2xT4]", help=t("up.mock_gpus"))
    ] = None,
    no_prebuild: Annotated[bool, typer.Option("--no-prebuild", help=t("up.no_prebuild"))] = False,
) -> None:
    """See the catalogue for the help text."""
    began = time.monotonic()
    from madang.config import Settings

    given = {
        "port": port,
        "host": host,
        "data_dir": data_dir.absolute() if data_dir is not None else None,
        "runtime": runtime,
        "database_url": database_url,
        "mock_gpus": mock_gpus,
        "prebuild": False if no_prebuild else None,
    }
    settings = Settings.model_validate({**Settings().model_dump(), **{k: v for k, v in given.items() if v is not None}})
    if settings.mock_gpus:
        from madang.agent.devices.mock import parse_mock_gpus

        parse_mock_gpus(settings.mock_gpus)  # what cannot be read is said before anything is started
    if not is_loopback(settings.host):
        output.warn(t("up.off_loopback", host=settings.host))
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_Up(settings, began).run())


class _Up:
    """One run of the platform, seen from the terminal."""

    def __init__(self, settings: Settings, began: float) -> None:
        from madang.app import Platform

        self._settings = settings
        self._began = began
        self._last = began
        self._platform: Platform = Platform(settings)
        self._signals = 0
        self._announced = False
        self._starting: asyncio.Task[None] | None = None
        self._building: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Start, serve until a signal, stop. Raises StartupError."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        print(t("up.starting", version=__version__), flush=True)
        try:
            self._last = time.monotonic()
            self._starting = asyncio.create_task(self._platform.start(self._report))
            try:
                await self._starting
            except asyncio.CancelledError:
                print(t("up.interrupted"), flush=True)
                return
            finally:
                self._starting = None
            self._announce()
            serving = asyncio.create_task(self._platform.serve())
            if self._signals:
                self._platform.request_stop()
            else:
                self._building = asyncio.create_task(self._first_environment())
            await serving
        finally:
            await self._stop()

    def _report(self, component: str, detail: str) -> None:
        now = time.monotonic()
        line = f"  {component:<12} {t('up.ready'):<6} {now - self._last:6.2f} s   {detail}"
        self._last = now
        print(line.rstrip(), flush=True)

    def _announce(self) -> None:
        url, seconds = self._platform.url, f"{time.monotonic() - self._began:.1f}"
        print(f"\n{t('up.at', url=url, seconds=seconds)}\n", flush=True)
        if self._platform.first_start and self._settings.login_hint:
            print(t("up.token", path=self._platform.token_path), flush=True)
        print(t("up.next"), flush=True)
        self._announced = True

    def _on_signal(self) -> None:
        self._signals += 1
        if self._signals > 1:
            output.note(t("up.already_stopping"))
            return
        print(f"\n{t('up.stopping')}", flush=True)
        if self._building is not None:
            self._building.cancel()
        if self._starting is not None:
            self._starting.cancel()
        else:
            self._platform.request_stop()

    async def _first_environment(self) -> None:
        """Build what most jobs run in while the user reads the lines above; sessions that come sooner wait for it."""
        if not self._settings.prebuild:
            return
        from madang.schemas.agent import EnvironmentState

        try:
            async with self._client() as client:
                if (await client.environments.get(_FIRST_ENVIRONMENT)).state is EnvironmentState.READY:
                    return
                self._last = time.monotonic()
                made = await build_environment(client, _FIRST_ENVIRONMENT)
                self._report("environment", f"{made.name}, {output.human_bytes(made.size_bytes or 0)}")
        except MadangError as error:
            output.warn(t("up.no_environment", name=_FIRST_ENVIRONMENT, reason=error.message))

    async def _stop(self) -> None:
        if self._building is not None:
            self._building.cancel()
            await asyncio.gather(self._building, return_exceptions=True)
        live = await self._live_sessions()
        await self._platform.stop()
        if self._announced:
            print(t("up.left_running", count=live) if live else t("up.stopped"), flush=True)

    async def _live_sessions(self) -> int | None:
        """How many sessions go on without us; None when the platform never came so far, or does not say."""
        if not self._announced:
            return None
        from madang.domain.session import HOLDING

        try:
            async with asyncio.timeout(_COUNT_SECONDS), self._client() as client:
                return len([session async for session in client.sessions.list(states=sorted(HOLDING))])
        except (MadangError, TimeoutError):
            return None

    def _client(self) -> contextlib.AbstractAsyncContextManager[AsyncClient]:
        from madang.sdk import AsyncClient
        from madang.sdk.connection import Connection

        try:
            connection = Connection.model_validate_json(self._platform.token_path.read_bytes())
        except (OSError, ValueError) as error:
            raise StartupError(f"{self._platform.token_path}: {error}") from None
        return AsyncClient(self._platform.url, connection.token, patience=_COUNT_SECONDS)
