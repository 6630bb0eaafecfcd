"""Credentials: who a bearer token belongs to, and making one."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from madang.db.engine import Database, Transaction
from madang.db.hub import Hub
from madang.db.repositories import audit, people, tokens
from madang.db.rows import TokenNew, TokenRow
from madang.domain.errors import Forbidden, InvalidInput, NotFound, Unauthorized
from madang.domain.ids import Clock, new_id
from madang.domain.people import Caller, Role
from madang.domain.rights import Right, Scope
from madang.schemas.api import NewToken, Token, TokenCreate

_FORM: Final = re.compile(r"mdg_[A-Za-z0-9_-]{43}")
_BROWSER: Final = re.compile(r"mdb_[A-Za-z0-9_-]{43}")
_REMEMBER_SECONDS: Final = 5.0  # a membership may end meanwhile
_REMEMBER_AT_MOST: Final = 4096
_USED_EVERY: Final = timedelta(seconds=60)  # so often at most is written when it was last used
_LOOK_AGAIN_SECONDS: Final = 4.0  # for what ends by itself, such as a membership or a token


class TokenService:
    """Tokens are high-entropy secrets (`mdg_` and 43 characters), so a plain SHA-256 of them is stored.

    A good token is remembered for some seconds; a change of any token makes every manager forget all at once.
    """

    def __init__(self, database: Database, hub: Hub, clock: Clock, browser_idle: timedelta) -> None:
        """`browser_idle`: a browser that asked for nothing so long is signed out."""
        self._idle = browser_idle
        self._database = database
        self._clock = clock
        self._hub = hub
        self._changed = hub.subscribe("tokens")
        self._remembered: dict[bytes, tuple[Caller, float]] = {}

    async def authenticate(self, token: str) -> Caller:
        """Whose token this is. Raises Unauthorized when it is malformed, unknown, expired or revoked."""
        if not _FORM.fullmatch(token):
            raise Unauthorized("The token is malformed: it is 'mdg_' and 43 letters, digits, '-' and '_'.")
        return await self._known(_digest(token))

    async def authenticate_browser(self, secret: str) -> Caller:
        """Whose browser carries this secret in its cookie. Raises Unauthorized."""
        if not _BROWSER.fullmatch(secret):
            raise Unauthorized("The cookie is malformed. Sign in again.")
        return await self._known(_digest(secret))

    async def _known(self, digest: bytes) -> Caller:
        if self._changed.take():
            self._remembered.clear()
        remembered = self._remembered.get(digest)
        if remembered is not None and time.monotonic() < remembered[1]:
            return remembered[0]
        now = self._clock.now()
        found = await self._database.read(lambda connection: tokens.by_digest(connection, digest, now))
        caller = self._caller(found, now)
        assert found is not None  # noqa: S101 - it has a caller
        if found.last_used_at is None or now - found.last_used_at >= _USED_EVERY:
            await self._database.transaction(
                lambda transaction: tokens.touch(transaction, found.id, now), "token.touch"
            )
        if found.expires_at is None or found.expires_at - now > timedelta(seconds=_REMEMBER_SECONDS):
            if len(self._remembered) >= _REMEMBER_AT_MOST:
                self._remembered.clear()
            self._remembered[digest] = (caller, time.monotonic() + _REMEMBER_SECONDS)
        return caller

    async def list(self, caller: Caller) -> Sequence[Token]:
        """The caller's own that have not been revoked, newest first."""
        caller.require(Right.ACCOUNT_CHANGE, owner_id=caller.user_id)
        now = self._clock.now()
        found = await self._database.read(lambda connection: tokens.of_user(connection, caller.user_id, now))
        return [_view(row) for row in found]

    async def create(self, caller: Caller, request: TokenCreate) -> NewToken:
        """A token for the caller. Raises Forbidden for a scope that the caller's own credential lacks, InvalidInput."""
        caller.require(Right.ACCOUNT_CHANGE, owner_id=caller.user_id)
        now = self._clock.now()
        check_expiry(request.expires_at, now)
        scopes = allowed_scopes(caller, request.scopes)
        token, new = make_credential(caller.user_id, request.label, now, expires_at=request.expires_at, scopes=scopes)

        async def save(transaction: Transaction) -> None:
            await tokens.add(transaction, new)
            after = {
                "expires_at": None if new.expires_at is None else new.expires_at.isoformat(),
                "scopes": None if scopes is None else sorted(scopes),
            }
            target = audit.Target(new.id, new.label, caller.domain_id)
            await audit.record(transaction, caller, "token.create", target, now, after=after)

        await self._database.transaction(save, "token.create")
        return new_view(new, token)

    async def revoke(self, caller: Caller, token_id: str) -> None:
        """Take one of the caller's tokens back; streams that it opened end. Raises NotFound."""
        caller.require(Right.ACCOUNT_CHANGE, owner_id=caller.user_id)

        async def revoke(transaction: Transaction) -> None:
            now = self._clock.now()
            label = await tokens.revoke(transaction, caller.user_id, token_id, now)
            if label is None:
                raise NotFound(f"You have no token '{token_id[:40]}'. 'madang token ls' shows those you have.")
            target = audit.Target(token_id, label, caller.domain_id)
            await audit.record(transaction, caller, "token.revoke", target, now)

        await self._database.transaction(revoke, "token.revoke")

    async def changed(self, caller: Caller, allow: Callable[[], Awaitable[object]] | None = None) -> None:
        """Returns as soon as the credential is no longer good, or lets its user do other things than it did; or when
        `allow`, which may raise NotFound or Forbidden, does."""
        with self._hub.subscribe("tokens") as changes:
            while await self._still(caller, allow):
                await changes.wait(_LOOK_AGAIN_SECONDS)

    async def _still(self, caller: Caller, allow: Callable[[], Awaitable[object]] | None) -> bool:
        now = self._clock.now()
        found = await self._database.read(lambda connection: tokens.by_id(connection, caller.credential, now))
        try:
            if self._caller(found, now) != caller:
                return False
            if allow is not None:
                await allow()
        except (Unauthorized, Forbidden, NotFound):
            return False
        return True

    def _caller(self, found: TokenRow | None, now: datetime) -> Caller:
        """Raises Unauthorized."""
        if found is None:
            raise Unauthorized("The token is not known here. Check that it belongs to this server.")
        if found.revoked_at is not None:
            raise Unauthorized("The token has been revoked. Ask for a new one.")
        idle = found.kind == "browser" and now - (found.last_used_at or found.created_at) > self._idle
        if idle or (found.expires_at is not None and found.expires_at <= now):
            raise Unauthorized("The token has expired. Sign in again, or ask for a new one.")
        return caller_from(found)

    async def issue(self, user: str, role: Role, label: str) -> str:
        """A new token for a user, who is made when missing. It is shown only here, never stored in clear."""

        async def save(transaction: Transaction) -> str:
            now = self._clock.now()
            user_id = await people.ensure_user(transaction, user, role, now)
            token, new = make_credential(user_id, label, now)
            await tokens.add(transaction, new)
            return token

        return await self._database.transaction(save, "token.issue")


def caller_from(found: TokenRow) -> Caller:
    """Who comes with a credential that is in force. Raises Unauthorized for a disabled account."""
    if not found.active:
        raise Unauthorized("This account is disabled. Ask an administrator.")
    memberships = {one.project_id: one for one in found.memberships}
    who = (found.user_id, found.name, found.role, found.domain_id)
    return Caller(*who, memberships, found.scopes, found.id, found.robot)


def allowed_scopes(caller: Caller, wanted: Sequence[Scope] | None) -> frozenset[Scope] | None:
    """What a credential that the caller makes may be limited to. Raises Forbidden for what the caller's own lacks."""
    scopes = caller.scopes if wanted is None else frozenset(Scope(one) for one in wanted)
    if caller.scopes is not None and scopes is not None and not scopes <= caller.scopes:
        more = ", ".join(sorted(scopes - caller.scopes))
        raise Forbidden(f"A token cannot make one that may do more than itself; it lacks {more}.")
    return scopes


def check_expiry(expires_at: datetime | None, now: datetime) -> None:
    """Raises InvalidInput for a time that is over."""
    if expires_at is not None and expires_at <= now:
        raise InvalidInput(f"It would have expired already: it is {now:%Y-%m-%d %H:%M} UTC now.")


def make_credential(
    user_id: str,
    label: str,
    now: datetime,
    *,
    expires_at: datetime | None = None,
    scopes: frozenset[Scope] | None = None,
    kind: Literal["token", "browser"] = "token",
) -> tuple[str, TokenNew]:
    """A new secret, and what is stored of it. A token and a secret of a browser never pass for one another."""
    secret = f"{'mdb' if kind == 'browser' else 'mdg'}_{secrets.token_urlsafe(32)}"
    return secret, TokenNew(new_id(), user_id, _digest(secret), label, now, expires_at, scopes, kind)


def new_view(new: TokenNew, secret: str) -> NewToken:
    """What is shown of a new credential, this once with its secret."""
    return NewToken(
        id=new.id,
        kind=new.kind,
        label=new.label,
        scopes=None if new.scopes is None else sorted(new.scopes),
        created_at=new.created_at,
        expires_at=new.expires_at,
        last_used_at=None,
        token=secret,
    )


def _view(row: TokenRow) -> Token:
    return Token(
        id=row.id,
        kind=row.kind,
        label=row.label,
        scopes=None if row.scopes is None else sorted(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
