"""Use cases of nodes: what they offer and what of it is taken."""

from __future__ import annotations

from collections.abc import Sequence

from madang.db.engine import Database
from madang.db.repositories import nodes
from madang.domain.errors import NotFound
from madang.domain.people import Caller
from madang.schemas.api import NodeState
from madang.services.views import node_view


class NodeService:
    """Nodes as the watch loop saw them last. Everybody who is signed in may see them all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, caller: Caller) -> Sequence[NodeState]:
        """All nodes, by name."""
        rows = await self._database.read(lambda connection: nodes.every(connection, with_use=True))
        return [node_view(row) for row in rows]

    async def get(self, caller: Caller, name: str) -> NodeState:
        """Raises NotFound."""
        found = await self.list(caller)
        for node in found:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in found) or "none yet"
        raise NotFound(f"There is no node '{name[:60]}'. Known are: {known}.")
