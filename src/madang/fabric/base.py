"""The port to all nodes: membership, and the agent of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from madang.agent.base import Agent


class Fabric(Protocol):
    """How the manager reaches nodes. Nodes are known by name, which is stable over restarts."""

    async def start(self) -> None:
        """Connect; afterwards `nodes` is meaningful."""

    async def stop(self) -> None:
        """Let go of the nodes. Containers keep running."""

    async def nodes(self) -> Sequence[str]:
        """Names of the nodes that answer now."""

    def agent(self, node: str) -> Agent:
        """The agent of a node. Raises Unavailable when the node does not answer."""

    def changes(self) -> AsyncIterator[str]:
        """The name of a node whenever one joins or leaves."""
