"""Use cases of nodes: what they offer and what of it is taken."""

from __future__ import annotations

from collections.abc import Sequence

from madang.domain.people import Caller
from madang.schemas.api import NodeState


class NodeService:
    """Nodes as the watch loop saw them last."""

    async def list(self, caller: Caller) -> Sequence[NodeState]:
        """All nodes, by name."""
        raise NotImplementedError

    async def get(self, caller: Caller, name: str) -> NodeState:
        """Raises NotFound."""
        raise NotImplementedError
