"""Links with which people set a password: by mail for who forgot it, or handed out by administrators."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, credentials, links
from madang.db.repositories.credentials import AccountRow
from madang.db.rows import LinkRow
from madang.domain.errors import Unauthorized
from madang.domain.ids import Clock, new_id
from madang.domain.passwords import check_new
from madang.domain.people import Caller
from madang.schemas.sign_in import Link
from madang.services import one_time
from madang.services.account import allowed
from madang.services.identity.passwords import Passwords
from madang.services.identity.throttle import Throttle
from madang.services.mail import Mailer
from madang.services.sign_in import acting, change_password

PAGE: Final = "set-password"
_MAILED_FOR: Final = timedelta(hours=1)
_HANDED_FOR: Final = timedelta(days=3)
_SPENT: Final = "This link was used already, was taken back, or is too old. Ask for a new one."


class PasswordLinkService:
    """A link is good once, and no more when the password is changed otherwise."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        passwords: Passwords,
        throttle: Throttle,
        mailer: Mailer | None,
        public_url: str | None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._throttle = throttle
        self._mailer = mailer
        self._public_url = public_url

    async def send(self, name: str, address: str, language: str) -> None:
        """Mail a link to the address of an account, if there is one that may have it; nobody is told.

        Raises TooManyAttempts.
        """
        await self._throttle.begin(f"link {name}", address)
        typed = name.strip().lower().replace("\0", "")
        row = await self._database.read(lambda connection: credentials.by_name(connection, typed))
        if self._mailer is None or row is None or not row.email or not _may_have(row):
            return
        email, now = row.email, self._clock.now()
        secret, digest = one_time.new_secret()
        new = LinkRow(new_id(), digest, "password", row.id, now, now + _MAILED_FOR, user_id=row.id, email=email)

        async def save(transaction: Transaction) -> None:
            await links.add(transaction, new)
            target = audit.Target(row.id, row.name, row.domain_id)
            await audit.record(transaction, acting(row, "", address), "password.link_mailed", target, now)

        await self._database.transaction(save, "password_link.mail")
        values = {
            "name": row.name,
            "link": one_time.address(self._mailer.public_url, PAGE, secret),
            "until": f"{new.expires_at:%Y-%m-%d %H:%M}",
        }
        self._mailer.send(email, "password", language, values)

    async def make(self, caller: Caller, name: str, base: str) -> Link:
        """A link for an administrator to hand out. Raises NotFound, Forbidden, Conflict."""
        secret, digest = one_time.new_secret()

        async def save(transaction: Transaction) -> LinkRow:
            now = self._clock.now()
            row = await allowed(transaction.connection, caller, name)
            new = LinkRow(new_id(), digest, "password", caller.user_id, now, now + _HANDED_FOR, user_id=row.id)
            await links.add(transaction, new)
            target = audit.Target(row.id, row.name, row.domain_id)
            await audit.record(transaction, caller, "password.link", target, now)
            return new

        new = await self._database.transaction(save, "password_link.make")
        return Link(link=one_time.address(self._public_url or base, PAGE, secret), expires_at=new.expires_at)

    async def use(self, link: str, new_password: str, address: str) -> None:
        """Set a password with a link; browsers are signed out. Raises Unauthorized for one that is not good any more,
        InvalidInput for a password that is not good enough."""
        digest = one_time.digest_of(link)
        row = await self._database.read(lambda connection: self._account(connection, digest))
        check_new(new_password, row.about)
        made = await self._passwords.hash(new_password)

        async def save(transaction: Transaction) -> None:
            now = self._clock.now()
            if await links.use(transaction, digest, now) is None:
                raise Unauthorized(_SPENT)
            fresh = await credentials.lock(transaction, row.id)
            if fresh is None or not _may_have(fresh):
                raise Unauthorized(_SPENT)
            await change_password(
                transaction, acting(fresh, "", address), fresh, made, now, action="password.link_used"
            )
            await credentials.sign_out(transaction, row.id, now, browsers_only=True)

        await self._database.transaction(save, "password_link.use")

    async def _account(self, connection: AsyncConnection, digest: bytes) -> AccountRow:
        link = await links.by_digest(connection, digest)
        if link is None or link.kind != "password" or link.user_id is None or not link.is_good(self._clock.now()):
            raise Unauthorized(_SPENT)
        row = await credentials.by_id(connection, link.user_id)
        if row is None or not _may_have(row):
            raise Unauthorized(_SPENT)
        return row


def _may_have(row: AccountRow) -> bool:
    return row.active and row.source is None and row.robot_of is None
