"""Whether this server has the key with which the secrets of its database are sealed."""

from __future__ import annotations

from typing import Final

from madang.db.engine import Database, Transaction
from madang.db.repositories import credentials, site
from madang.domain.errors import StartupError
from madang.domain.ids import Clock
from madang.services.identity.sealed import FILE_NAME, Sealer

_SETTING: Final = "secret_key"


class SiteKey:
    """The one key of all servers of a database."""

    def __init__(self, database: Database, clock: Clock, sealer: Sealer) -> None:
        self._database = database
        self._clock = clock
        self._sealer = sealer

    async def claim(self) -> None:
        """Write which key seals from now on. Raises StartupError when what is there was sealed with another one."""
        await self._database.transaction(self._claim, "site.key")

    async def _claim(self, transaction: Transaction) -> None:
        sealed = await credentials.sealed_with(transaction.connection)
        written = await site.get(transaction.connection, _SETTING)
        expected = sealed | ({written} if sealed and isinstance(written, str) else set())
        if foreign := sorted(expected - self._sealer.fingerprints):
            raise StartupError(
                f"The secrets of this database are sealed with another key ({', '.join(foreign)}) than the one in "
                f"{FILE_NAME} of this data directory ({self._sealer.fingerprint}). Put the right file there; every "
                "server of one database needs the same."
            )
        if written != self._sealer.fingerprint:
            await site.put(transaction, _SETTING, self._sealer.fingerprint, self._clock.now())
