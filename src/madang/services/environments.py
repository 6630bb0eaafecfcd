"""Use cases of environments: which there are, and building one ahead of its first use."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import structlog

from madang.agent.base import Agent
from madang.domain.errors import MadangError, NotFound, Unavailable
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.fabric.base import Fabric
from madang.schemas.agent import EnvironmentState, EnvironmentStatus

_log = structlog.get_logger(__name__)

_FURTHEST: Final = (
    EnvironmentState.MISSING,
    EnvironmentState.FAILED,
    EnvironmentState.BUILDING,
    EnvironmentState.READY,
)


class EnvironmentService:
    """Environments as the nodes know them now."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._builds: set[asyncio.Task[None]] = set()

    async def list(self, caller: Caller) -> Sequence[EnvironmentStatus]:
        """All environments of all nodes, by name; of several nodes the one that is furthest. Raises Unavailable."""
        caller.require(Right.CLUSTER_SEE)
        best: dict[str, EnvironmentStatus] = {}
        for _, statuses in await self._on_nodes():
            for status in statuses:
                known = best.get(status.name)
                if known is None or _FURTHEST.index(status.state) > _FURTHEST.index(known.state):
                    best[status.name] = status
        return [best[name] for name in sorted(best)]

    async def get(self, caller: Caller, name: str) -> EnvironmentStatus:
        """Raises NotFound, naming those there are."""
        found = await self.list(caller)
        for status in found:
            if status.name == name:
                return status
        raise NotFound(
            f"There is no environment '{name[:60]}'. Known are: {', '.join(status.name for status in found) or 'none'}."
        )

    async def build(self, caller: Caller, name: str) -> EnvironmentStatus:
        """Start building it in the background on every node that knows it; returns the status right after."""
        await self.get(caller, name)
        for agent, statuses in await self._on_nodes():
            if any(status.name == name for status in statuses):
                task = asyncio.create_task(_build(agent, name), name=f"build {name}")
                self._builds.add(task)
                task.add_done_callback(self._builds.discard)
        await asyncio.sleep(0)  # lets the builds begin, so that the answer shows them
        return await self.get(caller, name)

    async def close(self) -> None:
        """Give up waiting for builds."""
        for task in tuple(self._builds):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _on_nodes(self) -> Sequence[tuple[Agent, Sequence[EnvironmentStatus]]]:
        found: list[tuple[Agent, Sequence[EnvironmentStatus]]] = []
        for name in await self._fabric.nodes():
            try:
                agent = self._fabric.agent(name)
                found.append((agent, await agent.environments()))
            except Unavailable as error:
                _log.warning("node_unreachable", node=name, error=error.message)
        if not found:
            raise Unavailable("No node answers at the moment, so environments are not known. Try again shortly.")
        return found


async def _build(agent: Agent, name: str) -> None:
    try:
        await agent.build_environment(name)
    except MadangError as error:
        _log.warning("environment_build_failed", environment=name, error=error.message)
