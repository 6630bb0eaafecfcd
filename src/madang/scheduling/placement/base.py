"""The port of a placement policy."""

from __future__ import annotations

from typing import Protocol

from madang.scheduling.room import Room
from madang.scheduling.snapshot import Flags


class Chooser(Protocol):
    """Chooses nodes during one pass."""

    def choose(self, request: int, fits: Flags) -> int:
        """The node for a request, among those on which it fits (at least one is)."""

    def taken(self, node: int) -> None:
        """The room of a node has changed."""


class PlacementPolicy(Protocol):
    """Decides where a request goes. Must not depend on the order of requests in the snapshot."""

    def begin(self, room: Room) -> Chooser:
        """Begin a pass."""
