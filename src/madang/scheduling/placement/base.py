"""The port of a placement policy."""

from __future__ import annotations

from typing import Protocol

from madang.domain.devices import Share
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Flags


class Chooser(Protocol):
    """Chooses nodes and devices during one pass. `shape` is an index into the shapes of the snapshot."""

    def choose(self, shape: int, fits: Flags) -> int:
        """The node for a container, among those on which it fits (at least one is). `fits` must not be changed."""

    def devices(self, shape: int, node: int) -> tuple[Share, ...]:
        """The devices for a container of that shape, which fits on that node; none when it asks for none."""

    def taken(self, node: int) -> None:
        """The room of a node has changed."""


class PlacementPolicy(Protocol):
    """Decides where a container goes.

    Must not depend on the order of requests. It may keep a memory from pass to pass of what depends only on the room of
    a node and on shapes: valid as long as `room.lineage` is the same, and for the nodes whose `room.versions` are the
    same and not 0 (see Snapshot). Several rooms may be begun in one pass, since not everybody sees the same room.
    """

    def begin(self, room: Room) -> Chooser:
        """Begin a pass over one room."""
