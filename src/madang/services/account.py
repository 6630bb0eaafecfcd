"""One's own password and second factor, and what administrators do to those of others."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, credentials, users
from madang.db.repositories.credentials import AccountRow
from madang.domain.errors import Conflict, Forbidden, InvalidInput, SecondFactorRequired, Unauthorized, Unavailable
from madang.domain.ids import Clock
from madang.domain.passwords import check_new, new_password
from madang.domain.people import Caller
from madang.domain.rights import Right, Scope
from madang.domain.throttle import Attempt
from madang.schemas.sign_in import (
    Account,
    FirstPassword,
    PasswordChange,
    PasswordReset,
    RecoveryCodes,
    SecondFactorConfirm,
    SecondFactorEnrolment,
    SecondFactorRemove,
)
from madang.services import second_factor
from madang.services.identity.passwords import Passwords
from madang.services.identity.sealed import Sealer
from madang.services.identity.throttle import Throttle
from madang.services.identity.totp import enrol, matching_step, new_recovery_codes, recovery_digest
from madang.services.second_factor import Proof
from madang.services.sign_in import change_password
from madang.services.users import require_rank

_ENROL_WITHIN: Final = timedelta(minutes=15)
_WRONG: Final = "That is not your password."
_WRONG_CODE: Final = "That code is wrong or was used already. Wait for the next one."


class AccountService:
    """Guesses at passwords and codes count as attempts to sign in. Errors of all: Forbidden, TooManyAttempts."""

    def __init__(
        self, database: Database, clock: Clock, *, passwords: Passwords, throttle: Throttle, sealer: Sealer
    ) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._throttle = throttle
        self._sealer = sealer

    async def get(self, caller: Caller) -> Account:
        """How the caller signs in."""
        caller.require(Right.ACCOUNT_CHANGE, owner_id=caller.user_id)

        async def read(connection: AsyncConnection) -> Account:
            row = _there(await credentials.by_id(connection, caller.user_id))
            return Account(
                id=row.id,
                name=row.name,
                full_name=row.full_name,
                email=row.email or "",
                domain=row.domain,
                source=row.source or "",
                password=row.password is not None,
                second_factor=row.totp is not None,
                recovery_codes=await credentials.recovery_codes_left(connection, row.id),
                last_sign_in_at=row.last_sign_in_at,
            )

        return await self._database.read(read)

    async def change_password(self, caller: Caller, request: PasswordChange) -> None:
        """Set a new password, knowing the old one. Raises InvalidInput, SecondFactorRequired, Conflict."""
        row, attempt = await self._begin(caller, request.old_password)
        proof = None if row.totp is None else self._prove(row, request.code)
        check_new(request.new_password, row.about)
        if request.new_password == request.old_password:
            raise InvalidInput("That is the password you have. Choose another one.")
        made = await self._passwords.hash(request.new_password)

        async def save(transaction: Transaction) -> None:
            now = self._clock.now()
            fresh = _there(await credentials.lock(transaction, row.id))
            if fresh.password != row.password:
                raise InvalidInput(_WRONG)
            await _use(transaction, row, proof)
            await change_password(transaction, caller, row, made, now)
            if request.sign_out_others:
                await credentials.sign_out(transaction, row.id, now, but=caller.credential)

        await self._database.transaction(save, "account.password")
        await self._throttle.succeeded(attempt)

    async def begin_second_factor(self, caller: Caller, password: str, server: str) -> SecondFactorEnrolment:
        """A secret for an authenticator app; nothing is stored before a code of it has been sent. Raises Conflict."""
        row, attempt = await self._begin(caller, password)
        await self._throttle.succeeded(attempt)
        _without_factor(row)
        made = enrol(row.name, server)
        until = int((self._clock.now() + _ENROL_WITHIN).timestamp())
        sealed = self._sealer.seal(f"{until} {made.secret}", _enrolment(row.id))
        return SecondFactorEnrolment(secret=made.secret, uri=made.uri, enrolment=sealed)

    async def confirm_second_factor(self, caller: Caller, request: SecondFactorConfirm) -> RecoveryCodes:
        """Have it in force. Raises InvalidInput for a wrong code or an enrolment that is too old, Conflict."""
        row = await self._own(caller)
        _without_factor(row)
        attempt = await self._throttle.begin(row.name, caller.address)
        now = self._clock.now()
        try:
            until, _, secret = self._sealer.unseal(request.enrolment, _enrolment(row.id)).partition(" ")
        except Unavailable:
            raise InvalidInput("That enrolment is not yours or not whole. Begin anew.") from None
        if now.timestamp() > int(until):
            raise InvalidInput("That took too long. Begin anew.")
        step = matching_step(secret, request.code, now, None)
        if step is None:
            raise InvalidInput("That code is wrong. Check the clock of the device and send the next one.")
        sealed = self._sealer.seal(secret, second_factor.purpose(row.id))
        codes = new_recovery_codes()
        digests = [digest for code in codes if (digest := recovery_digest(code)) is not None]

        async def save(transaction: Transaction) -> None:
            _without_factor(_there(await credentials.lock(transaction, row.id)))
            await credentials.set_second_factor(transaction, row.id, sealed, step)
            await credentials.add_recovery_codes(transaction, row.id, digests)
            transaction.emit("user.second_factor", now, {"user": row.name, "on": True}, owner_id=row.id)
            await audit.record(transaction, caller, "second_factor.set", _target(row), now)

        await self._database.transaction(save, "account.second_factor")
        await self._throttle.succeeded(attempt)
        return RecoveryCodes(recovery_codes=codes)

    async def remove_second_factor(self, caller: Caller, request: SecondFactorRemove) -> None:
        """Do without. Raises InvalidInput when neither password nor code is right, Conflict without one."""
        if (request.password is None) == (request.code is None):
            raise InvalidInput("Send your password or a code, one of them.")
        proof = None
        if request.password is not None:
            row, attempt = await self._begin(caller, request.password)
            _with_factor(row)
        else:
            row = await self._own(caller)
            _with_factor(row)
            attempt = await self._throttle.begin(row.name, caller.address)
            proof = self._prove(row, request.code)

        async def save(transaction: Transaction) -> None:
            await _use(transaction, row, proof)
            await self._remove(transaction, caller, row)

        await self._database.transaction(save, "account.second_factor")
        await self._throttle.succeeded(attempt)

    async def reset_password(self, caller: Caller, name: str, request: PasswordReset) -> FirstPassword:
        """Give somebody a first password. Raises NotFound, InvalidInput, Conflict for who signs in elsewhere."""
        target = await self._allowed(caller, name)
        if request.password is not None:
            check_new(request.password, target.about)
        first = request.password or new_password()
        made = await self._passwords.hash(first)

        async def save(transaction: Transaction) -> None:
            now = self._clock.now()
            row = await allowed(transaction.connection, caller, name)
            await change_password(transaction, caller, row, made, now, must_change=True, action="password.reset")
            await credentials.sign_out(transaction, row.id, now, browsers_only=not request.sign_out)

        await self._database.transaction(save, "account.reset")
        return FirstPassword(user=target.name, password=first)

    async def remove_factor_of(self, caller: Caller, name: str) -> None:
        """Remove the second factor of somebody who has lost it. Raises NotFound, Conflict without one."""

        async def save(transaction: Transaction) -> None:
            row = await allowed(transaction.connection, caller, name)
            _with_factor(row)
            await self._remove(transaction, caller, row)

        await self._database.transaction(save, "account.second_factor")

    async def _remove(self, transaction: Transaction, caller: Caller, row: AccountRow) -> None:
        now = self._clock.now()
        _with_factor(_there(await credentials.lock(transaction, row.id)))
        await credentials.set_second_factor(transaction, row.id, None)
        transaction.emit("user.second_factor", now, {"user": row.name, "on": False}, owner_id=row.id)
        await audit.record(transaction, caller, "second_factor.remove", _target(row), now)

    async def _allowed(self, caller: Caller, name: str) -> AccountRow:
        return await self._database.read(lambda connection: allowed(connection, caller, name))

    async def _own(self, caller: Caller) -> AccountRow:
        """The caller's account, which signs in here. Raises Conflict."""
        caller.require(Right.ACCOUNT_CHANGE, owner_id=caller.user_id)
        row = _there(await self._database.read(lambda connection: credentials.by_id(connection, caller.user_id)))
        require_local(row)
        return row

    async def _begin(self, caller: Caller, password: str) -> tuple[AccountRow, Attempt]:
        """The caller's account, whose password this is. Raises InvalidInput when it is not."""
        row = await self._own(caller)
        if row.password is None:
            raise Conflict("Your account has no password yet. Ask an administrator for a link to set one.")
        attempt = await self._throttle.begin(row.name, caller.address)
        if not (await self._passwords.check(password, row.password)).right:
            raise InvalidInput(_WRONG)
        return row, attempt

    def _prove(self, row: AccountRow, code: str | None) -> Proof:
        if not code:
            raise SecondFactorRequired("Send a code of your authenticator app, too.")
        proof = second_factor.prove(self._sealer, row, code, self._clock.now())
        if proof is None:
            raise InvalidInput(_WRONG_CODE)
        return proof


async def allowed(connection: AsyncConnection, caller: Caller, name: str) -> AccountRow:
    """The account of a name, whose password and second factor the caller may set. Raises NotFound, Forbidden, and
    Conflict for one that is kept elsewhere."""
    found = await users.find(connection, caller, name)
    caller.require(Right.USER_CHANGE, domain_id=found.domain_id)
    if caller.scopes is not None and not caller.scopes >= frozenset(Scope):
        raise Forbidden("A token that is limited to scopes sets no passwords of others. Use one that is not.")
    require_rank(caller, found)
    row = _there(await credentials.by_id(connection, found.id))
    require_local(row)
    return row


def require_local(row: AccountRow) -> None:
    """Raises Conflict for an account whose password another system keeps, or which has none at all."""
    if row.robot_of is not None:
        raise Conflict(f"'{row.name}' acts for a project by tokens; it has no password.")
    if row.source is not None:
        raise Conflict(f"'{row.name}' signs in with '{row.source}'. Its password and second factor are kept there.")


async def _use(transaction: Transaction, row: AccountRow, proof: Proof | None) -> None:
    if proof is not None and not await second_factor.use(transaction, row.id, proof):
        raise InvalidInput(_WRONG_CODE)


def _without_factor(row: AccountRow) -> None:
    if row.totp is not None:
        raise Conflict(f"'{row.name}' has a second factor already. Remove it first.")


def _with_factor(row: AccountRow) -> None:
    if row.totp is None:
        raise Conflict(f"'{row.name}' has no second factor.")


def _there(row: AccountRow | None) -> AccountRow:
    if row is None:
        raise Unauthorized("This account is there no more.")
    return row


def _enrolment(user_id: str) -> str:
    return f"totp-enrolment:{user_id}"


def _target(row: AccountRow) -> audit.Target:
    return audit.Target(row.id, row.name, row.domain_id)
