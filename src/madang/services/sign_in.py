"""Signing in: who somebody is by name and password, and making the credential of somebody who is known."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

import structlog

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, credentials, links, tokens
from madang.db.repositories.credentials import AccountRow
from madang.domain.errors import (
    InvalidInput,
    NotFound,
    PasswordChangeRequired,
    SecondFactorRequired,
    Unauthorized,
)
from madang.domain.ids import Clock
from madang.domain.passwords import check_new
from madang.domain.people import Caller
from madang.schemas.api import NewToken
from madang.schemas.sign_in import SignInSource, SignInWays
from madang.services import second_factor
from madang.services.identity.base import Identity, NotRecognised, PasswordSource
from madang.services.identity.passwords import Passwords
from madang.services.identity.sealed import Sealer
from madang.services.identity.sources import Sources
from madang.services.identity.throttle import Throttle
from madang.services.mail import Mailer
from madang.services.second_factor import Proof
from madang.services.tokens import make_credential, new_view

_log = structlog.get_logger(__name__)

Kind = Literal["token", "browser"]
LOCAL: Final = "password"
"""How somebody signed in whose password is kept here."""
WRONG: Final = "The name or the password is wrong."
DISABLED: Final = "This account is disabled. Ask an administrator."
_WRONG_CODE: Final = "That code is wrong or was used already. Wait for the next one, or use a recovery code."


@dataclass(frozen=True, slots=True)
class SignedInUser:
    """Somebody whose password was right. `how`: `password`, or the name of the source that knew it."""

    user_id: str
    name: str
    how: str


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long credentials that are made by signing in are good."""

    token: timedelta
    browser: timedelta


class Accounts(Protocol):
    """Makes and updates the accounts of people of other systems."""

    async def settle(self, identity: Identity) -> str:
        """The id of the account of this identity. Raises Unauthorized when it may not sign in."""


class SignInService:
    """Wrong names, wrong passwords and accounts that cannot sign in get the same answer after about the same time."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        passwords: Passwords,
        throttle: Throttle,
        sealer: Sealer,
        lifetimes: Lifetimes,
        sources: Sources | None = None,
        accounts: Accounts | None = None,
        mailer: Mailer | None = None,
        sign_up: bool = False,
    ) -> None:
        self._mailer = mailer
        self._sign_up = sign_up
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._throttle = throttle
        self._sealer = sealer
        self._lifetimes = lifetimes
        self._sources = sources
        self._accounts = accounts

    def ways(self) -> SignInWays:
        """What ways there are to sign in."""
        rules = () if self._sources is None else self._sources.rules.values()
        sources = [SignInSource(name=one.name, title=one.title, kind=one.kind, device=one.device) for one in rules]
        return SignInWays(password=True, sign_up=self._sign_up, password_link=self._mailer is not None, sources=sources)

    async def password(
        self, name: str, password: str, *, address: str, code: str | None = None, new_password: str | None = None
    ) -> SignedInUser:
        """Who has this name and password, and for a local account with a second factor this code.

        With `new_password` that is the password from now on. Raises Unauthorized, SecondFactorRequired,
        PasswordChangeRequired, TooManyAttempts, InvalidInput for a new password that is none, Unavailable.
        """
        # What is right but not enough stays counted: asking again without a code must not forgive wrong ones.
        attempt = await self._throttle.begin(name, address)
        account = await self._find(name)
        local = account if account is not None and account.source is None else None
        checked = await self._passwords.check(password, None if local is None else local.password)
        if local is not None and local.password is not None:
            if not checked.right:
                self._refused(local, address, "wrong password")
                raise Unauthorized(WRONG)
            found = await self._local(local, address, code, new_password, checked.renewed)
        else:
            found = await self._elsewhere(name, password, account, address)
        await self._throttle.succeeded(attempt)
        if new_password is not None and found.how != LOCAL:
            raise InvalidInput(f"That password is kept by '{found.how}'. Change it there.")
        return found

    async def admit(self, user_id: str, *, kind: Kind, label: str, address: str, how: str) -> NewToken:
        """Make the credential of somebody who has shown who they are: `how`, for the audit.

        Raises Unauthorized for an account that is disabled or gone, or of a robot.
        """
        life = self._lifetimes.browser if kind == "browser" else self._lifetimes.token

        async def save(transaction: Transaction) -> NewToken:
            now = self._clock.now()
            account = await credentials.lock(transaction, user_id)
            if account is None or not account.active or account.robot_of is not None:
                raise Unauthorized(DISABLED)
            secret, new = make_credential(account.id, label, now, expires_at=now + life, kind=kind)
            await tokens.add(transaction, new)
            await credentials.signed_in(transaction, account.id, now)
            caller = acting(account, new.id, address)
            target = audit.Target(account.id, account.name, account.domain_id)
            await audit.record(transaction, caller, "sign_in", target, now, after={"how": how, "kind": kind})
            return new_view(new, secret)

        return await self._database.transaction(save, "sign_in")

    async def sign_out(self, caller: Caller) -> None:
        """Take the credential of the request itself back. Raises NotFound for one that is no token."""

        async def save(transaction: Transaction) -> None:
            now = self._clock.now()
            label = await tokens.revoke(transaction, caller.user_id, caller.credential, now)
            if label is None:
                raise NotFound("This request carries no token or browser session that could be signed out.")
            target = audit.Target(caller.credential, label, caller.domain_id)
            await audit.record(transaction, caller, "sign_out", target, now)

        await self._database.transaction(save, "sign_out")

    def close(self) -> None:
        """End what works in the background."""
        self._passwords.close()
        if self._mailer is not None:
            self._mailer.close()

    async def _find(self, name: str) -> AccountRow | None:
        """The account of a name as people type it, unless nobody may sign in with it."""
        typed = unicodedata.normalize("NFKC", name).strip().lower()
        if not typed or len(typed) > 200 or "\0" in typed:
            return None
        found = await self._database.read(lambda connection: credentials.by_name(connection, typed))
        return None if found is None or found.robot_of is not None else found

    async def _local(
        self, account: AccountRow, address: str, code: str | None, new_password: str | None, renewed: str | None
    ) -> SignedInUser:
        """What comes after the right password of a local account."""
        if not account.active:
            self._refused(account, address, "disabled")
            raise Unauthorized(DISABLED)
        proof = self._proof(account, code, address)
        if account.must_change_password and new_password is None:
            raise PasswordChangeRequired("This password is for the first time only. Choose one of your own.")
        replacement = renewed if new_password is None else await self._replacement(account, new_password)

        async def save(transaction: Transaction) -> None:
            now = self._clock.now()
            fresh = await credentials.lock(transaction, account.id)
            if fresh is None or fresh.password != account.password:
                raise Unauthorized(WRONG)
            if proof is not None and not await second_factor.use(transaction, account.id, proof):
                raise SecondFactorRequired(_WRONG_CODE)
            if new_password is None:
                if replacement is not None:
                    await credentials.renew_password(transaction, account.id, account.password or "", replacement)
                return
            await change_password(transaction, acting(account, "", address), account, replacement or "", now)

        if proof is not None or replacement is not None:
            await self._database.transaction(save, "sign_in.password")
        return SignedInUser(account.id, account.name, LOCAL)

    def _proof(self, account: AccountRow, code: str | None, address: str) -> Proof | None:
        """What the code proves; None without a second factor. Raises SecondFactorRequired."""
        if account.totp is None:
            return None
        if not code:
            raise SecondFactorRequired("This account has a second factor. Send a code of the authenticator app, too.")
        proof = second_factor.prove(self._sealer, account, code, self._clock.now())
        if proof is None:
            self._refused(account, address, "wrong code")
            raise SecondFactorRequired(_WRONG_CODE)
        return proof

    async def _replacement(self, account: AccountRow, new_password: str) -> str:
        """The hash of a new password. Raises InvalidInput when it is not good enough or the old one."""
        check_new(new_password, account.about)
        if (await self._passwords.check(new_password, account.password)).right:
            raise InvalidInput("That is the password you have. Choose another one.")
        return await self._passwords.hash(new_password)

    async def _elsewhere(self, name: str, password: str, account: AccountRow | None, address: str) -> SignedInUser:
        """Ask the account's own source, or for a name without an account each source in turn."""
        asked: Sequence[PasswordSource] = self._sources.passwords if self._sources is not None else ()
        if account is not None and account.source is not None:
            asked = [one for one in asked if one.name == account.source]
        for source in asked:
            try:
                identity = await source.check(name, password)
            except NotRecognised as error:
                _log.info("sign_in_refused", source=source.name, reason=error.reason, address=address)
                if error.reason == "disabled":
                    raise
                continue
            assert self._accounts is not None  # noqa: S101 - there are sources
            return await self._settled(self._accounts, identity)
        raise Unauthorized(WRONG)

    async def _settled(self, accounts: Accounts, identity: Identity) -> SignedInUser:
        user_id = await accounts.settle(identity)
        found = await self._database.read(lambda connection: credentials.by_id(connection, user_id))
        if found is None:  # deleted at this moment
            raise Unauthorized(DISABLED)
        return SignedInUser(user_id, found.name, identity.source)

    def _refused(self, account: AccountRow, address: str, reason: str) -> None:
        _log.info("sign_in_refused", user=account.name, reason=reason, address=address)


async def change_password(
    transaction: Transaction,
    caller: Caller,
    account: AccountRow,
    password: str,
    at: datetime,
    *,
    must_change: bool = False,
    action: str = "password.change",
) -> None:
    """Store the hash of a new password of an account; links that would set it are void from then on."""
    await credentials.set_password(transaction, account.id, password, must_change=must_change)
    await links.revoke_passwords(transaction, account.id, at)
    transaction.emit("user.password", at, {"user": account.name}, owner_id=account.id)
    target = audit.Target(account.id, account.name, account.domain_id)
    await audit.record(transaction, caller, action, target, at)


def acting(account: AccountRow, credential: str, address: str) -> Caller:
    """The account itself as the one who does something while it signs in, for the audit."""
    return Caller(account.id, account.name, account.role, account.domain_id, credential=credential, address=address)
