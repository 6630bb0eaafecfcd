"""Importing a table of users: all of it is checked, and all of it or nothing is done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, domains, links, projects
from madang.db.repositories import roster as accounts
from madang.db.repositories.roster import AccountNew
from madang.db.rows import DomainRow, LinkRow, MemberRow, ProjectRow, UserRow
from madang.domain.errors import InvalidInput, NotFound
from madang.domain.ids import Clock, new_id
from madang.domain.passwords import new_password
from madang.domain.people import DEFAULT_PROJECT, Caller
from madang.domain.rights import Right, gives
from madang.domain.roster import Mistake, NewUser, Roster, read_roster
from madang.schemas.invitations import Existing, Import, ImportedUser
from madang.services import one_time
from madang.services.identity.passwords import Passwords
from madang.services.mail import Mailer
from madang.services.password_links import PAGE

PASSWORDS_AT_MOST: Final = 250
"""First passwords in one import: each takes a core for a tenth of a second."""
_AT_ONCE: Final = 4  # hashed; who signs in meanwhile waits for no more than these
_LINK_GOOD_FOR: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a table is to be imported.

    Attributes:
        domain: where accounts are made, and projects named without a domain are; None: the caller's own.
        existing: what becomes of rows with an account of that domain which is there already.
        make_up: who has neither a password nor an invitation gets a password that is made up.
    """

    domain: str | None = None
    existing: Existing = "refuse"
    make_up: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class _Facts:
    """What there is of what a table names."""

    domain: DomainRow
    projects: Mapping[str, ProjectRow]  # by what the table calls them
    taken: Mapping[str, UserRow | None]
    policies: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Secrets:
    """What was made up for a row, and what is stored of its password."""

    hashed: str | None = None
    password: str = ""
    link: str = ""  # what it carries
    digest: bytes = b""


class RosterService:
    """Administrators import into any domain, those of a domain into that."""

    def __init__(
        self, database: Database, clock: Clock, *, passwords: Passwords, mailer: Mailer | None, public_url: str | None
    ) -> None:
        self._database = database
        self._clock = clock
        self._passwords = passwords
        self._mailer = mailer
        self._public_url = public_url

    async def check(self, caller: Caller, domain: str | None) -> str:
        """The domain to import into, asked before a table is read. Raises NotFound, Forbidden."""

        async def read(connection: AsyncConnection) -> DomainRow:
            return await _home(connection, caller, domain)

        return (await self._database.read(read)).name

    async def run(self, caller: Caller, data: bytes, wanted: Wanted, *, base: str, language: str) -> Import:
        """Import a table in CSV, or tell what would be done. It may take some seconds: passwords are slow to store.

        Raises InvalidInput with every mistake in `errors`, by line and column; nobody was added then. NotFound,
        Forbidden.
        """
        roster = await asyncio.to_thread(read_roster, data, made_up=wanted.make_up)

        async def read(connection: AsyncConnection) -> _Facts:
            return await _facts(connection, caller, roster.rows, wanted)

        facts = await self._database.read(read)
        _require_right(caller, roster, facts, wanted)
        if wanted.dry_run:
            users = [_view(row, facts) for row in roster.users]
            return Import(dry_run=True, domain=facts.domain.name, users=users)
        kept = await self._secrets([row for row in roster.users if row.account not in facts.taken])

        async def save(transaction: Transaction) -> _Facts:
            await domains.hold(transaction, caller, facts.domain.name)
            for project in sorted(facts.projects.values(), key=lambda one: one.id):
                await projects.hold(transaction, caller, project.domain, project.name)
            fresh = await _facts(transaction.connection, caller, roster.rows, wanted)
            _require_right(caller, roster, fresh, wanted)
            await self._save(transaction, caller, roster.users, fresh, kept)
            return fresh

        facts = await self._database.transaction(save, "user.import")
        users = [_view(row, facts) for row in roster.users]
        until = f"{self._clock.now() + _LINK_GOOD_FOR:%Y-%m-%d %H:%M}"
        handed = []
        for row, user in zip(roster.users, users, strict=True):
            secrets = kept.get(row.account, _Secrets())
            if not secrets.link:
                handed.append(user.model_copy(update={"password": secrets.password}))
            elif self._mailer is None:
                link = one_time.address(self._public_url or base, PAGE, secrets.link)
                handed.append(user.model_copy(update={"link": link}))
            else:
                link = one_time.address(self._mailer.public_url, PAGE, secrets.link)
                values = {"sender": caller.name, "name": row.account, "until": until, "link": link}
                self._mailer.send(row.email, "first_password", language, values)
                handed.append(user.model_copy(update={"sent": row.email}))
        return Import(dry_run=False, domain=facts.domain.name, users=handed)

    async def _secrets(self, rows: Sequence[NewUser]) -> Mapping[str, _Secrets]:
        """What rows with new accounts sign in with, by account."""

        async def one(row: NewUser) -> _Secrets:
            if row.invited:
                secret, digest = one_time.new_secret()
                return _Secrets(link=secret, digest=digest)
            made_up = "" if row.password else new_password()
            return _Secrets(await self._passwords.hash(row.password or made_up), made_up)

        found: dict[str, _Secrets] = {}
        for start in range(0, len(rows), _AT_ONCE):
            batch = rows[start : start + _AT_ONCE]
            made = await asyncio.gather(*map(one, batch))
            found.update(zip((row.account for row in batch), made, strict=True))
        return found

    async def _save(
        self,
        transaction: Transaction,
        caller: Caller,
        rows: Sequence[NewUser],
        facts: _Facts,
        kept: Mapping[str, _Secrets],
    ) -> None:
        now = self._clock.now()
        new = {row.account: _account(row, facts, kept[row.account], now) for row in rows if row.account in kept}
        taken = await accounts.add(transaction, list(new.values()))
        if taken:  # by somebody else at the same moment
            raise _mistaken([_taken(row) for row in rows if row.account in taken])
        for row in rows:
            if row.account not in new:
                await self._join(transaction, caller, row, facts, now)
                continue
            user, digest = new[row.account].user, kept[row.account].digest
            target = audit.Target(user.id, user.name, user.domain_id)
            after = {
                "role": user.role,
                "domain": user.domain,
                "email": user.email,
                "full_name": user.full_name,
                "project": facts.projects[row.project].path,
                "project_role": row.role.value,
                "policy": row.policy or None,
            }
            await audit.record(transaction, caller, "user.create", target, now, after=after)
            if digest:
                link = LinkRow(
                    id=new_id(),
                    digest=digest,
                    kind="password",
                    created_by=caller.user_id,
                    created_at=now,
                    expires_at=now + _LINK_GOOD_FOR,
                    user_id=user.id,
                    email=user.email,
                )
                await links.add(transaction, link)

    async def _join(self, transaction: Transaction, caller: Caller, row: NewUser, facts: _Facts, now: datetime) -> None:
        """Let an account that is there already join the project of its row; a stronger role stays."""
        user, project = facts.taken[row.account], facts.projects[row.project]
        assert user is not None  # noqa: S101 - that would have been a mistake
        found = await projects.members(transaction.connection, project.id)
        before = next((one for one in found if one.user_id == user.id), None)
        if before is not None and _stays(before, row, now):
            return
        await projects.set_member(transaction, project, user.id, row.role, at=now)
        data = {"project": project.path, "user": user.name, "role": row.role.value, "expires_at": None}
        transaction.emit("project.member", now, {**data})
        target = audit.Target(project.id, project.path, project.domain_id)
        then = None if before is None else {user.name: before.role.value}
        after = {user.name: row.role.value}
        await audit.record(transaction, caller, "project.member", target, now, before=then, after=after)


async def _home(connection: AsyncConnection, caller: Caller, domain: str | None) -> DomainRow:
    """Raises NotFound, Forbidden."""
    if domain is None:
        home = next(one for one in await domains.every(connection, caller) if one.id == caller.domain_id)
    else:
        home = await domains.find(connection, caller, domain)
    caller.require(Right.USER_CHANGE, domain_id=home.id)
    return home


async def _facts(connection: AsyncConnection, caller: Caller, rows: Sequence[NewUser], wanted: Wanted) -> _Facts:
    home = await _home(connection, caller, wanted.domain)
    found: dict[str, ProjectRow] = {}
    for name in dict.fromkeys(row.project for row in rows):
        try:
            found[name] = await projects.find(connection, caller, *_path(name, home))
        except NotFound:
            continue
    taken = await accounts.taken(connection, {row.account for row in rows if row.account})
    known = await accounts.hold_policies(connection, {row.policy for row in rows if row.policy})
    return _Facts(home, found, taken, frozenset(known))


def _path(project: str, home: DomainRow) -> tuple[str, str]:
    """The domain and the name of a project of a table."""
    domain, _, name = project.rpartition("/")
    return domain or home.name, name or DEFAULT_PROJECT


def _require_right(caller: Caller, roster: Roster, facts: _Facts, wanted: Wanted) -> None:
    """Raises InvalidInput with every mistake there is."""
    mistakes = list(roster.mistakes)
    for row in roster.rows:
        mistakes += _mistakes(caller, row, facts, wanted)
    passwords = sum(not row.invited and row.account not in facts.taken for row in roster.rows)
    if passwords > PASSWORDS_AT_MOST:
        message = (
            f"There are {passwords} users with a first password. At most {PASSWORDS_AT_MOST} at once, since these are "
            "slow to store: split the file, or invite them."
        )
        mistakes.append(Mistake(roster.rows[0].line, "password", message))
    if mistakes:
        raise _mistaken(mistakes)


def _mistakes(caller: Caller, row: NewUser, facts: _Facts, wanted: Wanted) -> list[Mistake]:
    """What is wrong with a row that is written well."""
    found = []
    if row.account in facts.taken:
        user = facts.taken[row.account]
        if wanted.existing == "refuse" or user is None or user.domain_id != facts.domain.id:
            found.append(_taken(row))
    project = facts.projects.get(row.project)
    if project is None:
        path = "/".join(_path(row.project, facts.domain))
        found.append(Mistake(row.line, "project", f"There is no project '{path}'. Make it first, or name another one."))
    elif not project.active:
        found.append(Mistake(row.line, "project", f"The project '{project.path}' is closed. Open it first."))
    elif not gives(Right.PROJECT_PEOPLE, caller.ties(project_id=project.id, domain_id=project.domain_id)):
        message = f"You may not say who is in '{project.path}'. Ask an owner of it."
        found.append(Mistake(row.line, "project", message))
    if row.policy and not gives(Right.POLICY_CHANGE, caller.ties()):
        message = "Only an administrator gives policies to users. Leave the column out, or ask one."
        found.append(Mistake(row.line, "policy", message))
    elif row.policy and row.policy not in facts.policies:
        message = f"There is no policy '{row.policy}'. 'madang policy ls' shows those there are."
        found.append(Mistake(row.line, "policy", message))
    return found


def _taken(row: NewUser) -> Mistake:
    message = f"The name '{row.account}' is taken. Choose another one, or leave the line out."
    return Mistake(row.line, "account", message)


def _mistaken(mistakes: Sequence[Mistake]) -> InvalidInput:
    count = len(mistakes)
    what = "is 1 mistake" if count == 1 else f"are {count} mistakes"
    ordered = sorted(mistakes, key=lambda one: one.line)
    return InvalidInput(f"There {what} in the file; nobody was added.", [str(one) for one in ordered])


def _account(row: NewUser, facts: _Facts, secrets: _Secrets, now: datetime) -> AccountNew:
    home = facts.domain
    user = UserRow(new_id(), row.account, "user", home.id, home.name, now, row.email or None, row.name)
    return AccountNew(user, facts.projects[row.project].id, row.role, row.policy or None, secrets.hashed)


def _stays(before: MemberRow, row: NewUser, now: datetime) -> bool:
    """Whether a membership is worth as much as the one of the row, or more."""
    if before.expires_at is not None:
        return before.expires_at > now and before.role.rank > row.role.rank
    return before.role.rank >= row.role.rank


def _view(row: NewUser, facts: _Facts) -> ImportedUser:
    existing = facts.taken.get(row.account)
    return ImportedUser(
        line=row.line,
        name=row.account,
        full_name=row.name if existing is None else existing.full_name,
        project=facts.projects[row.project].path,
        role=row.role,
        policy=row.policy if existing is None else "",
        existing=existing is not None,
    )
