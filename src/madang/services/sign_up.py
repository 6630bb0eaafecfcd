"""Signing up: an account that somebody makes alone, once the mail address is confirmed."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sqlalchemy import select

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, credentials, links, users
from madang.db.rows import LinkRow, UserRow
from madang.db.tables import domains, projects
from madang.domain.errors import NameInUse, Unauthorized, Unavailable
from madang.domain.ids import Clock, new_id
from madang.domain.passwords import check_new
from madang.domain.people import DEFAULT_PROJECT, Caller, ProjectRole
from madang.schemas.sign_in import SignUp
from madang.services import one_time
from madang.services.identity.passwords import Passwords
from madang.services.identity.throttle import Throttle
from madang.services.mail import Mailer

PAGE: Final = "sign-up"
_GOOD_FOR: Final = timedelta(hours=24)
_SPENT: Final = "This link was used already or is too old. Sign up again."


class SignUpService:
    """Nothing is made before the link of the mail is opened; whether an address is known shows only in the mail."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        passwords: Passwords,
        throttle: Throttle,
        mailer: Mailer,
        domain: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._throttle = throttle
        self._mailer = mailer
        self._domain = domain

    async def ask(self, request: SignUp, address: str, language: str) -> None:
        """Mail a link. Raises NameInUse, InvalidInput for a password that is not good enough, TooManyAttempts."""
        await self._throttle.begin(f"sign-up {request.email}", address)
        check_new(request.password, (request.name, request.full_name, request.email))
        stored = await self._passwords.hash(request.password)
        known = await self._database.read(lambda connection: credentials.by_email(connection, request.email))
        taken = await self._database.read(lambda connection: credentials.by_name(connection, request.name))
        if taken is not None and taken not in known:
            raise NameInUse(f"The name '{request.name}' is taken. Choose another one.")
        if known:
            values = {"name": known[0].name, "link": self._mailer.public_url}
            self._mailer.send(request.email, "sign_up_again", language, values)
            return
        secret, digest = one_time.new_secret()
        now = self._clock.now()
        data = {"name": request.name, "full_name": request.full_name, "password": stored}
        new = LinkRow(new_id(), digest, "sign_up", "", now, now + _GOOD_FOR, email=request.email, data=data)
        await self._database.transaction(lambda transaction: links.add(transaction, new), "sign_up.ask")
        values = {
            "name": request.name,
            "link": one_time.address(self._mailer.public_url, PAGE, secret),
            "until": f"{new.expires_at:%Y-%m-%d %H:%M}",
        }
        self._mailer.send(request.email, "sign_up", language, values)

    async def confirm(self, link: str, address: str) -> str:
        """Make the account; returns its name. Raises Unauthorized for a link that is not good any more, NameInUse."""
        digest = one_time.digest_of(link)

        async def save(transaction: Transaction) -> str:
            now = self._clock.now()
            found = await links.use(transaction, digest, now)
            if found is None or found.kind != "sign_up" or found.data is None:
                raise Unauthorized(_SPENT)
            home, project = await self._home(transaction)
            row = UserRow(
                id=new_id(),
                name=found.data["name"],
                role="user",
                domain_id=home,
                domain=self._domain,
                created_at=now,
                email=found.email,
                full_name=found.data["full_name"],
            )
            if not await users.add(transaction, row, {project: ProjectRole.MEMBER}):
                raise NameInUse(f"The name '{row.name}' was taken meanwhile. Sign up again with another one.")
            await credentials.set_password(transaction, row.id, found.data["password"])
            caller = Caller(row.id, row.name, row.role, home, address=address)
            after = {"domain": self._domain, "email": row.email}
            await audit.record(transaction, caller, "sign_up", audit.Target(row.id, row.name, home), now, after=after)
            return row.name

        return await self._database.transaction(save, "sign_up.confirm")

    async def _home(self, transaction: Transaction) -> tuple[str, str]:
        """The ids of the domain and of its project that everybody joins."""
        query = (
            select(domains.c.id, projects.c.id.label("project"))
            .join(projects, projects.c.domain_id == domains.c.id)
            .where(domains.c.name == self._domain, domains.c.active, projects.c.name == DEFAULT_PROJECT)
            .with_for_update(read=True)
        )
        row = (await transaction.connection.execute(query)).first()
        if row is None:
            raise Unavailable(f"There is no open domain '{self._domain}' for who signs up. Ask an administrator.")
        return row.id, row.project
