"""The directory loop: what directories say of people by now counts also for those who do not sign in anew."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog

from madang.config import Settings
from madang.db.engine import Database
from madang.db.repositories import identities
from madang.domain.errors import MadangError, Unauthorized
from madang.domain.ids import Clock
from madang.services.identity.accounts import Accounts
from madang.services.identity.base import PasswordSource
from madang.services.identity.sources import Sources

_log = structlog.get_logger(__name__)


class DirectoryLoop:
    """Who is disabled or gone there loses every credential here; others keep the places that their groups give.

    A directory that does not answer changes nothing.
    """

    name = "directories"
    topics: Sequence[str] = ()

    def __init__(self, settings: Settings, *, database: Database, clock: Clock, sources: Sources) -> None:
        self.every_seconds = settings.directory_minutes * 60
        self._database = database
        self._clock = clock
        self._sources = sources
        self._accounts = Accounts(database, clock, sources.rules)
        self._task: asyncio.Task[None] | None = None

    async def step(self) -> None:
        """Begin to look, unless the last look still goes on: a directory may be slow, and have many people."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self.look())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> None:
        """Ask every directory about everybody of it who can do something here."""
        for source in self._sources.passwords:
            try:
                await self._look_at(source)
            except MadangError as error:
                _log.warning("directory_not_asked", source=source.name, error=error.message)

    async def _look_at(self, source: PasswordSource) -> None:
        now = self._clock.now()
        known = await self._database.read(lambda connection: identities.of_source(connection, source.name, now))
        for user_id, subject in known:
            found = await source.find(subject)
            if found is None:
                if await self._accounts.end(user_id, source.name):
                    _log.info("signed_out", user=user_id, source=source.name)
                continue
            with suppress(Unauthorized):  # disabled here meanwhile
                await self._accounts.settle(found)
