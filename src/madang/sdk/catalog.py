"""Nodes and environments, asynchronously."""

from __future__ import annotations

from typing import Final

from madang.schemas.agent import EnvironmentStatus
from madang.schemas.api import NodeState, NodeUpdate, Page
from madang.sdk._transport import API, JSON, Transport

_ENVIRONMENTS: Final = f"{API}/environments"


class AsyncNodes:
    """Machines that run sessions."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> list[NodeState]:
        """All nodes, with what they offer and what of it is taken."""
        return (await self._transport.get(Page[NodeState], f"{API}/nodes")).items

    async def get(self, name: str) -> NodeState:
        """Raises NotFound."""
        return await self._transport.get(NodeState, f"{API}/nodes/{name}")

    async def update(self, name: str, *, resource_group: str) -> NodeState:
        """Put a node into another resource group; what runs on it goes on. For administrators.

        Raises Forbidden, and NotFound for an unknown node or group.
        """
        body = NodeUpdate(resource_group=resource_group).model_dump_json().encode()
        response = await self._transport.call("PATCH", f"{API}/nodes/{name}", body=body, headers=JSON)
        return self._transport.parse(NodeState, response.content)


class AsyncEnvironments:
    """What a container can run."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> list[EnvironmentStatus]:
        """All environments, built or not."""
        return (await self._transport.get(Page[EnvironmentStatus], _ENVIRONMENTS)).items

    async def get(self, name: str) -> EnvironmentStatus:
        """Raises NotFound. While it is being built, `progress` and `message` tell how far."""
        return await self._transport.get(EnvironmentStatus, f"{_ENVIRONMENTS}/{name}")

    async def build(self, name: str) -> EnvironmentStatus:
        """Start making it ready in the background; ask `get` how far it is."""
        response = await self._transport.call("POST", f"{_ENVIRONMENTS}/{name}/build")
        return self._transport.parse(EnvironmentStatus, response.content)
