"""Signing keys: who signed a request, and making keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, keys, tokens
from madang.db.rows import KeyNew, TokenRow
from madang.domain.errors import NotFound, Unauthorized
from madang.domain.ids import Clock
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.domain.signing import Signature
from madang.schemas.machines import Key, KeyCreate, NewKey
from madang.services.identity.sealed import Sealer
from madang.services.identity.signed import RequestSigning
from madang.services.tokens import allowed_scopes, caller_from, check_expiry

_USED_EVERY: Final = timedelta(seconds=60)  # so often at most is written when it was last used


class KeyService:
    """Keys are their owner's alone, as tokens are.

    Attributes:
        spool: the directory in which the bodies of signed requests wait until they are checked.
        body_limit: bytes of one.
    """

    def __init__(self, database: Database, clock: Clock, sealer: Sealer, *, spool: Path, body_limit: int) -> None:
        self._database = database
        self._clock = clock
        self._signing = RequestSigning(_Stored(database, clock), sealer, clock)
        self.spool: Final = spool
        self.body_limit: Final = body_limit

    async def authenticate(self, authorization: str, method: str, target: str) -> tuple[Caller, Signature]:
        """Who signed a request; its body has still to be compared. Raises Unauthorized saying what does not fit."""
        signature = await self._signing.check(authorization, method, target)
        now = self._clock.now()

        async def read(connection: AsyncConnection) -> TokenRow | None:
            return await tokens.by_id(connection, signature.key_id, now)

        found = await self._database.read(read)
        if found is None:
            raise Unauthorized(f"The signing key {signature.key_id} is unknown.")
        caller = caller_from(found)
        if found.last_used_at is None or now - found.last_used_at >= _USED_EVERY:
            await self._database.transaction(lambda transaction: keys.touch(transaction, found.id, now), "key.touch")
        return caller, signature

    async def list(self, caller: Caller) -> Sequence[Key]:
        """The caller's own that have not been revoked, newest first."""
        caller.require(Right.ACCOUNT_CHANGE, owner_id=caller.user_id)
        now = self._clock.now()
        found = await self._database.read(lambda connection: tokens.keys_of_user(connection, caller.user_id, now))
        return [
            Key(
                id=row.id,
                label=row.label,
                scopes=None if row.scopes is None else sorted(row.scopes),
                created_at=row.created_at,
                expires_at=row.expires_at,
                last_used_at=row.last_used_at,
            )
            for row in found
        ]

    async def create(self, caller: Caller, request: KeyCreate) -> NewKey:
        """A key for the caller. Raises Forbidden for a scope that the caller's own credential lacks, InvalidInput."""
        caller.require(Right.ACCOUNT_CHANGE, owner_id=caller.user_id)
        now = self._clock.now()
        check_expiry(request.expires_at, now)
        scopes = allowed_scopes(caller, request.scopes)
        pair = self._signing.new_key()
        new = KeyNew(pair.key_id, caller.user_id, request.label, pair.sealed, now, request.expires_at, scopes)
        written = None if scopes is None else sorted(scopes)

        async def save(transaction: Transaction) -> None:
            await keys.add(transaction, new)
            after = {"expires_at": None if new.expires_at is None else new.expires_at.isoformat(), "scopes": written}
            target = audit.Target(new.id, new.label, caller.domain_id)
            await audit.record(transaction, caller, "key.create", target, now, after=after)

        await self._database.transaction(save, "key.create")
        return NewKey(
            id=new.id,
            label=new.label,
            scopes=written,
            created_at=now,
            expires_at=new.expires_at,
            last_used_at=None,
            secret=pair.secret,
        )

    async def revoke(self, caller: Caller, key_id: str) -> None:
        """Take one of the caller's keys back; streams that it opened end. Raises NotFound."""
        caller.require(Right.ACCOUNT_CHANGE, owner_id=caller.user_id)

        async def revoke(transaction: Transaction) -> None:
            now = self._clock.now()
            label = await keys.revoke(transaction, caller.user_id, key_id, now)
            if label is None:
                raise NotFound(f"You have no signing key '{key_id[:80]}'. 'madang key ls' shows those you have.")
            target = audit.Target(key_id, label, caller.domain_id)
            await audit.record(transaction, caller, "key.revoke", target, now)

        await self._database.transaction(revoke, "key.revoke")


class _Stored:
    """Keys and marks in the database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def sealed_secret(self, key_id: str) -> str | None:
        now = self._clock.now()
        return await self._database.read(lambda connection: keys.sealed_secret(connection, key_id, now))

    async def first_seen(self, mark: bytes, until: datetime) -> bool:
        async def save(transaction: Transaction) -> bool:
            return await keys.first_seen(transaction, mark, until)

        return await self._database.transaction(save, "signature.seen")
