"""The way from a command to the server: one event loop and one client a command."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar, cast

from madang.cli.banner import show_news
from madang.cli.i18n import t
from madang.cli.output import Progress, bar
from madang.domain.errors import MadangError, Unavailable

if TYPE_CHECKING:
    from madang.schemas.agent import EnvironmentStatus
    from madang.sdk import AsyncClient, Connection

T = TypeVar("T")
_POLL_SECONDS = 0.2


def with_client(work: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """Run `work` with a client of the server that the environment or a profile names, else of this machine's."""
    return run_client(None, work)


def run_client(connection: Connection | None, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """The same with a client of a connection."""
    _start_faster()
    from madang.sdk import AsyncClient

    async def main() -> T:
        async with AsyncClient(connection=connection) as client:
            try:
                return await work(client)
            finally:
                await show_news(client)

    return asyncio.run(main())


def _start_faster() -> None:
    """Leave out what libraries load for uses that are not ours; together a quarter of a command's start."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if "httpx" not in sys.modules:
        sys.modules.setdefault("httpx._main", cast(ModuleType, None))  # httpx's own command line, with its colours


def describe(error: MadangError) -> str:
    """What to tell the user: the error's own message, but for a server that is away."""
    if error.code != "no_server":
        return error.message
    from madang.sdk.finding import find_connection

    try:
        return t("error.no_answer", url=find_connection().url)
    except MadangError:
        return error.message  # no server is even known, or its address is malformed


async def build_environment(client: AsyncClient, name: str) -> EnvironmentStatus:
    """Have an environment built and show how far it is. Raises Unavailable when the build failed."""
    from madang.schemas.agent import EnvironmentState

    status = await client.environments.get(name)
    if status.state is EnvironmentState.READY:
        return status
    status = await client.environments.build(name)
    with bar(t("environment.building", name=name)) as progress:
        while status.state in (EnvironmentState.MISSING, EnvironmentState.BUILDING):
            _show(status, progress)
            await asyncio.sleep(_POLL_SECONDS)
            status = await client.environments.get(name)
    if status.state is EnvironmentState.FAILED:
        raise Unavailable(status.message)
    return status


def _show(status: EnvironmentStatus, progress: Progress) -> None:
    progress(status.progress or 0.0, status.message)
