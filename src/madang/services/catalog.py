"""Nodes and resource groups as they are known now, kept in memory for a moment: creation reads nothing about them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from madang.db.engine import Database
from madang.db.hub import Hub
from madang.db.repositories import groups, nodes
from madang.db.rows import GroupRow, NodeRow

_FRESH_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Known:
    """Nodes, without what of them is taken, and resource groups by name."""

    nodes: Sequence[NodeRow] = ()
    groups: Mapping[str, GroupRow] = field(default_factory=dict)


class Catalog:
    """What nodes offer and groups allow changes rarely; a change makes this read again at once."""

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = database
        self._changed = hub.subscribe("node.ready", "node.unreachable", "node.moved", "group.changed", "group.removed")
        self._known = Known()
        self._until = 0.0

    async def known(self) -> Known:
        """All nodes and groups."""
        if time.monotonic() > self._until or await self._changed.wait(0):
            found = {group.name: group for group in await self._database.read(groups.every)}
            self._known = Known(await self._database.read(nodes.every), found)
            self._until = time.monotonic() + (_FRESH_SECONDS if self._known.nodes else 0)
        return self._known
