"""The tallies of failed attempts in the database, as the throttle wants them."""

from __future__ import annotations

from collections.abc import Collection

from madang.db.engine import Database
from madang.db.repositories import attempts
from madang.services.identity.throttle import Change


class StoredAttempts:
    """One transaction a change."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def change(self, keys: Collection[str], change: Change) -> None:
        """See `Attempts`."""
        await self._database.transaction(
            lambda transaction: attempts.change(transaction, keys, change), "sign_in.attempt"
        )
