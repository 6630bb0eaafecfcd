"""Nodes and resource groups as they are known now, kept in memory for a moment: creation reads nothing about them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from madang.db.engine import Database
from madang.db.hub import Hub
from madang.db.repositories import groups, nodes, presets
from madang.db.rows import GroupRow, NodeRow
from madang.db.site_rows import PresetRow
from madang.domain.people import Membership

_FRESH_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Known:
    """Nodes, without what of them is taken, and resource groups by name."""

    nodes: Sequence[NodeRow] = ()
    groups: Mapping[str, GroupRow] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, PresetRow]] = field(default_factory=dict)  # by group and name

    def open_to(self, user_id: str, project: Membership) -> Known:
        """With those groups only that are open to sessions of a user in a project."""
        if all(group.access is None for group in self.groups.values()):
            return self
        mine = {
            name: group
            for name, group in self.groups.items()
            if group.access is None or group.access.opens_for(user_id, project.project_id, project.domain_id)
        }
        return replace(self, groups=mine)


class Catalog:
    """What nodes offer and groups allow changes rarely; a change makes this read again at once."""

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = database
        of_nodes = ("node.ready", "node.unreachable", "node.moved")
        self._changed = hub.subscribe(*of_nodes, "group.changed", "group.removed", "preset.changed")
        self._known = Known()
        self._until = 0.0

    async def known(self) -> Known:
        """All nodes and groups."""
        if time.monotonic() > self._until or self._changed.take():
            found = {group.name: group for group in await self._database.read(groups.every)}
            offered: dict[str, dict[str, PresetRow]] = {}
            for preset in await self._database.read(presets.every):
                offered.setdefault(preset.resource_group, {})[preset.name] = preset
            self._known = Known(await self._database.read(nodes.every), found, offered)
            self._until = time.monotonic() + (_FRESH_SECONDS if self._known.nodes else 0)
        return self._known
