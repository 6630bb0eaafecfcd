"""Whether the platform lives and can take work."""

from __future__ import annotations

import asyncio
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database
from madang.domain.errors import MadangError
from madang.fabric.base import Fabric
from madang.schemas.api import Health
from madang.services.pulse import Pulse

_ANSWER_SECONDS: Final = 2.0


class HealthService:
    """Open to everybody, so it tells states and nothing else."""

    def __init__(self, database: Database, fabric: Fabric, pulse: Pulse, revision: str) -> None:
        self._database = database
        self._fabric = fabric
        self._pulse = pulse
        self._revision = revision

    async def live(self) -> Health:
        """The process answers."""
        return Health(status="ok", components={"api": "ok"})

    async def ready(self) -> Health:
        """`ok` when the database answers, migrations are done, the nodes answer and the loops beat."""
        components = {
            "api": "ok",
            "database": await self._database_state(),
            "nodes": await self._nodes_state(),
            **{f"loop {name}": state for name, state in self._pulse.states().items()},
        }
        good = all(state == "ok" for state in components.values())
        return Health(status="ok" if good else "degraded", components=components)

    async def _database_state(self) -> str:
        async def revision(connection: AsyncConnection) -> str | None:
            found: str | None = await connection.scalar(text("SELECT version_num FROM alembic_version"))
            return found

        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                found = await self._database.read(revision)
        except (MadangError, TimeoutError):
            return "unreachable"
        return "ok" if found == self._revision else "another revision"

    async def _nodes_state(self) -> str:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                names = await self._fabric.nodes()
                for name in names:
                    await self._fabric.agent(name).report()
        except (MadangError, TimeoutError):
            return "unreachable"
        return "ok" if names else "none"
