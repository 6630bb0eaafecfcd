"""Use cases of environments: which there are, and building one ahead of its first use."""

from __future__ import annotations

from collections.abc import Sequence

from madang.domain.people import Caller
from madang.schemas.agent import EnvironmentStatus


class EnvironmentService:
    """Environments as the nodes know them now."""

    async def list(self, caller: Caller) -> Sequence[EnvironmentStatus]:
        """All environments of all nodes, by name; of several nodes the one that is furthest."""
        raise NotImplementedError

    async def get(self, caller: Caller, name: str) -> EnvironmentStatus:
        """Raises NotFound, naming those there are."""
        raise NotImplementedError

    async def build(self, caller: Caller, name: str) -> EnvironmentStatus:
        """Start building it in the background on every node that knows it; returns the status right after."""
        raise NotImplementedError
