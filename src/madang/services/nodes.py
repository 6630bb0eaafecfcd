"""Use cases of nodes: what they offer, what of it is taken, and which resource group they are in."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, containers, groups, nodes
from madang.db.rows import DeviceUse
from madang.domain.errors import NotFound
from madang.domain.ids import Clock
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.schemas.api import NodeState, NodeUpdate
from madang.services.views import node_view


class NodeService:
    """Nodes as the watch loop saw them last. Everybody sees those of the resource groups that are open to them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller) -> Sequence[NodeState]:
        """By name."""
        caller.require(Right.CLUSTER_SEE)

        async def read(connection: AsyncConnection) -> list[NodeState]:
            uses: dict[str, list[DeviceUse]] = {}
            for use in await containers.device_uses(connection):
                uses.setdefault(use.node, []).append(use)
            seen = {group.name for group in await groups.seen_by(connection, caller)}
            rows = [row for row in await nodes.every(connection, with_use=True) if row.resource_group in seen]
            return [node_view(row, uses.get(row.name, ()), caller) for row in rows]

        return await self._database.read(read)

    async def get(self, caller: Caller, name: str) -> NodeState:
        """Raises NotFound."""
        found = await self.list(caller)
        for node in found:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in found) or "none yet"
        raise NotFound(f"There is no node '{name[:60]}'. Known are: {known}.")

    async def update(self, caller: Caller, name: str, change: NodeUpdate) -> NodeState:
        """Put a node into another resource group; what runs on it goes on. Raises Forbidden, NotFound."""
        caller.require(Right.CLUSTER_CHANGE)
        found = await self.get(caller, name)

        async def move(transaction: Transaction) -> None:
            now = self._clock.now()
            await groups.hold(transaction, change.resource_group)
            await nodes.move(transaction, name, change.resource_group, now)
            before, after = {"resource_group": found.resource_group}, {"resource_group": change.resource_group}
            target = audit.Target(name, name)
            await audit.record(transaction, caller, "node.set", target, now, before=before, after=after)

        await self._database.transaction(move, "node.move")
        return await self.get(caller, name)
