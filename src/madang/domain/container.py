"""What the manager knows of a container of a session."""

from __future__ import annotations

from enum import StrEnum


class ContainerState(StrEnum):
    """Where a container stands, as the database has it."""

    PLANNED = "planned"  # has a node and an epoch; nothing is known of it on the node yet
    RUNNING = "running"
    ENDED = "ended"  # its logs and files are still on the node
    REMOVED = "removed"  # nothing of it is left on the node
