"""The fabric of one machine: its agent lives in the manager's own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from madang.agent.base import Agent
from madang.domain.errors import Unavailable


class LocalFabric:
    """One node, always there."""

    def __init__(self, name: str, agent: Agent) -> None:
        self._name = name
        self._agent = agent

    async def start(self) -> None:
        await self._agent.report()

    async def stop(self) -> None:
        """Nothing to let go of: the agent is closed by whoever made it."""

    async def nodes(self) -> Sequence[str]:
        return [self._name]

    def agent(self, node: str) -> Agent:
        if node != self._name:
            raise Unavailable(f"Node '{node}' does not answer; this server has only '{self._name}'.")
        return self._agent

    async def changes(self) -> AsyncIterator[str]:
        yield self._name
        await asyncio.Event().wait()
