"""Whether the platform lives and can take work."""

from __future__ import annotations

from madang.schemas.api import Health


class HealthService:
    """Open to everybody, so it tells states and nothing else."""

    async def live(self) -> Health:
        """The process answers."""
        raise NotImplementedError

    async def ready(self) -> Health:
        """`ok` when the database answers, migrations are done, the nodes answer and the loops beat."""
        raise NotImplementedError
