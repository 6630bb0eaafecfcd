"""Credentials: who a bearer token belongs to, and making one."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from typing import Final

from madang.db.engine import Database, Transaction
from madang.db.hub import Hub
from madang.db.repositories import people
from madang.domain.errors import Unauthorized
from madang.domain.ids import Clock
from madang.domain.people import Caller, Role

_FORM: Final = re.compile(r"mdg_[A-Za-z0-9_-]{43}")
_REMEMBER_SECONDS: Final = 5.0  # a membership may end meanwhile
_REMEMBER_AT_MOST: Final = 4096


class TokenService:
    """Tokens are high-entropy secrets (`mdg_` and 43 characters), so a plain SHA-256 of them is stored.

    A good token is remembered for some seconds; a change of any token makes every manager forget all at once.
    """

    def __init__(self, database: Database, hub: Hub, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._changed = hub.subscribe("tokens")
        self._remembered: dict[bytes, tuple[Caller, float]] = {}

    async def authenticate(self, token: str) -> Caller:
        """Whose token this is. Raises Unauthorized when it is malformed, unknown, expired or revoked."""
        if not _FORM.fullmatch(token):
            raise Unauthorized("The token is malformed: it is 'mdg_' and 43 letters, digits, '-' and '_'.")
        digest = _digest(token)
        if await self._changed.wait(0):
            self._remembered.clear()
        remembered = self._remembered.get(digest)
        if remembered is not None and time.monotonic() < remembered[1]:
            return remembered[0]
        now = self._clock.now()
        found = await self._database.read(lambda connection: people.by_digest(connection, digest, now))
        if found is None:
            raise Unauthorized("The token is not known here. Check that it belongs to this server.")
        if found.revoked_at is not None:
            raise Unauthorized("The token has been revoked. Ask for a new one.")
        if found.expires_at is not None and found.expires_at <= now:
            raise Unauthorized("The token has expired. Ask for a new one.")
        if not found.active:
            raise Unauthorized("This account is disabled. Ask an administrator.")
        caller = Caller(
            found.user_id,
            found.name,
            found.role,
            found.domain_id,
            {one.project_id: one for one in found.memberships},
            found.scopes,
        )
        if found.expires_at is None:
            if len(self._remembered) >= _REMEMBER_AT_MOST:
                self._remembered.clear()
            self._remembered[digest] = (caller, time.monotonic() + _REMEMBER_SECONDS)
        return caller

    async def issue(self, user: str, role: Role, label: str) -> str:
        """A new token for a user, who is made when missing. It is shown only here, never stored in clear."""
        token = f"mdg_{secrets.token_urlsafe(32)}"

        async def save(transaction: Transaction) -> None:
            now = self._clock.now()
            user_id = await people.ensure_user(transaction, user, role, now)
            await people.add_token(transaction, user_id, _digest(token), label, now)

        await self._database.transaction(save, "token.issue")
        return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
