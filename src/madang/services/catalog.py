"""The nodes as they are known now, kept in memory for a moment so that creation reads nothing about them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from madang.db.engine import Database
from madang.db.hub import Hub
from madang.db.repositories import nodes
from madang.db.rows import NodeRow

_FRESH_SECONDS: Final = 2.0


class NodeCatalog:
    """What nodes offer changes rarely; a node that joins or leaves makes this read again at once."""

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = database
        self._changed = hub.subscribe("node.ready", "node.unreachable")
        self._known: Sequence[NodeRow] = ()
        self._until = 0.0

    async def nodes(self) -> Sequence[NodeRow]:
        """All nodes, without what of them is taken."""
        if time.monotonic() > self._until or await self._changed.wait(0):
            self._known = await self._database.read(nodes.every)
            self._until = time.monotonic() + (_FRESH_SECONDS if self._known else 0)
        return self._known
