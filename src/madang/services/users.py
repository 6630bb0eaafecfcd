"""Use cases of accounts: who may sign in, and as what."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, domains, projects, users
from madang.db.rows import MemberRow, UserRow
from madang.domain.errors import Conflict, Forbidden, InvalidInput, NameInUse
from madang.domain.ids import Clock, new_id
from madang.domain.people import DEFAULT_PROJECT, Caller, ProjectRole, split_path
from madang.domain.rights import Right
from madang.schemas.api import Page
from madang.schemas.people import OwnedSessions, User, UserCreate, UserUpdate
from madang.services.people_views import user_view

_PAGE_LIMIT: Final = 500


class UserService:
    """Administrators see and change all accounts, those of a domain its own, others see their own. Errors of all:
    Forbidden, and NotFound for an account that the caller may not know of."""

    def __init__(self, database: Database, clock: Clock, sources: Collection[str] = ()) -> None:
        self._database = database
        self._clock = clock
        self._sources = sources

    async def list(
        self,
        caller: Caller,
        *,
        domain: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        robots: bool = False,
    ) -> Page[User]:
        """By name, with robots of projects or without. Raises InvalidInput for a page that is too large."""
        if not 1 <= limit <= _PAGE_LIMIT:
            raise InvalidInput(f"A page has 1 to {_PAGE_LIMIT} items.")

        async def read(connection: AsyncConnection) -> tuple[list[UserRow], list[MemberRow]]:
            rows = await users.page(connection, caller, domain=domain, limit=limit + 1, after=cursor, robots=robots)
            return rows, await projects.memberships_of(connection, caller, [row.id for row in rows])

        rows, memberships = await self._database.read(read)
        items = [user_view(row, memberships) for row in rows[:limit]]
        return Page[User](items=items, next=items[-1].name if len(rows) > limit else None)

    async def get(self, caller: Caller, name: str) -> User:
        """Raises NotFound."""

        async def read(connection: AsyncConnection) -> User:
            return await _view(connection, caller, await users.find(connection, caller, name))

        return await self._database.read(read)

    async def create(self, caller: Caller, request: UserCreate) -> User:
        """Make an account in a domain. It joins the projects that are named, else the domain's `default`.

        Raises NameInUse, NotFound for a domain or project that the caller may not know of.
        """
        now = self._clock.now()

        async def save(transaction: Transaction) -> User:
            home = await domains.hold(transaction, caller, request.domain or await self._home(transaction, caller))
            caller.require(Right.USER_CHANGE, domain_id=home.id)
            _check_role(caller, request.role)
            row = UserRow(
                id=new_id(),
                name=request.name,
                role=request.role,
                domain_id=home.id,
                domain=home.name,
                created_at=now,
                email=request.email or None,
                full_name=request.full_name,
            )
            paths = [(home.name, DEFAULT_PROJECT)]
            if request.projects is not None:
                paths = [split_path(path) for path in dict.fromkeys(request.projects)]
            joined = {}
            for domain, name in paths:
                project = await projects.hold(transaction, caller, domain, name)
                caller.require(Right.PROJECT_PEOPLE, project_id=project.id, domain_id=project.domain_id)
                joined[project.id] = ProjectRole.MEMBER
            if not await users.add(transaction, row, joined):
                raise NameInUse(f"The name '{row.name}' is taken. Choose another one.")
            await audit.record(transaction, caller, "user.create", _target(row), now, after=_values(row))
            return await _view(transaction.connection, caller, row)

        return await self._database.transaction(save, "user.create")

    async def change(self, caller: Caller, name: str, request: UserUpdate) -> User:
        """Change what is given. Sessions of an account that is disabled go on.

        Raises Conflict when no administrator could sign in any more.
        """

        async def save(transaction: Transaction) -> User:
            row = await self._locked(transaction, caller, name)
            then = self._linked(caller, await _changed(transaction, caller, row, request), request)
            await users.save(transaction, then)
            await users.require_admin(transaction)
            now = self._clock.now()
            transaction.emit(
                "user.changed",
                now,
                {"user": name, "domain": then.domain, "role": then.role, "active": then.active},
            )
            before, after = _values(row), _values(then)
            await audit.record(transaction, caller, "user.set", _target(row), now, before=before, after=after)
            return await _view(transaction.connection, caller, then)

        return await self._database.transaction(save, "user.change")

    async def delete(self, caller: Caller, name: str, sessions: OwnedSessions = "refuse") -> None:
        """Delete an account: at once nobody can use it, and with `stop-and-delete` its sessions end and are deleted.

        Raises Conflict when it has sessions and nothing was said of them, when it is the last administrator, or the
        only owner of a project.
        """

        async def remove(transaction: Transaction) -> None:
            connection = transaction.connection
            row = await self._locked(transaction, caller, name)
            held = await users.sessions_of(connection, row.id)
            if (held.live or held.ended) and sessions == "refuse":
                raise Conflict(
                    f"'{name}' has {held.sentence()}. Say that these shall be stopped and deleted with the account: "
                    f"madang user rm {name} --sessions stop-and-delete. Or only disable it: "
                    f"madang user set {name} --inactive."
                )
            alone = await projects.owned_alone(transaction, row.id)
            if alone:
                raise Conflict(
                    f"'{name}' is the only owner of {', '.join(alone[:5])}. Make somebody else owner first: "
                    f"madang project member add {alone[0]} USER --role owner."
                )
            now = self._clock.now()
            await users.remove(transaction, row, now, caller.user_id)
            await users.require_admin(transaction)
            transaction.emit("user.deleted", now, {"user": name, "domain": row.domain})
            await audit.record(transaction, caller, "user.delete", _target(row), now, before=_values(row))

        await self._database.transaction(remove, "user.delete")

    def _linked(self, caller: Caller, row: UserRow, request: UserUpdate) -> UserRow:
        """The account as it is tied to an identity of another system. Raises Forbidden, InvalidInput."""
        source, subject = request.source, request.subject
        if source is None and subject is None:
            return row
        if not caller.is_admin:
            raise Forbidden("Only an administrator says who somebody is in another system. Ask one.")
        if source is None or subject is None or bool(source) != bool(subject):
            raise InvalidInput("Give both `source` and `subject`, or two empty texts to unlink the account.")
        if source and source not in self._sources:
            known = ", ".join(sorted(self._sources)) or "none"
            raise InvalidInput(f"There is no source '{source}' in sign-in.toml. There are: {known}.")
        return replace(row, source=source or None, subject=subject or None)

    async def _home(self, transaction: Transaction, caller: Caller) -> str:
        """The name of the caller's own domain."""
        return (await users.find(transaction.connection, caller, caller.name)).domain

    async def _locked(self, transaction: Transaction, caller: Caller, name: str) -> UserRow:
        """The account, which the caller may change; who is an administrator changes only here."""
        await users.lock_admins(transaction)
        row = await users.lock(transaction, caller, name)
        caller.require(Right.USER_CHANGE, domain_id=row.domain_id)
        require_rank(caller, row)
        return row


def require_rank(caller: Caller, row: UserRow) -> None:
    """Raises Forbidden when somebody who is no administrator wants to change the account of one."""
    if row.role == "admin" and not caller.is_admin:
        raise Forbidden("Only an administrator changes the account of an administrator. Ask one.")


async def _changed(transaction: Transaction, caller: Caller, row: UserRow, request: UserUpdate) -> UserRow:
    role = request.role
    if row.robot_of is not None:
        raise Conflict(f"'{row.name}' is the robot of a project's token. Take the token back instead.")
    then = replace(
        row,
        full_name=row.full_name if request.full_name is None else request.full_name,
        email=row.email if request.email is None else request.email or None,
        active=row.active if request.active is None else request.active,
    )
    if request.domain is not None and request.domain != row.domain:
        if not caller.is_admin:
            raise Forbidden("Only an administrator moves an account to another domain. Ask one.")
        home = await domains.hold(transaction, caller, request.domain)
        then = replace(then, domain_id=home.id, domain=home.name)
        if role is None and row.role == "domain_admin":
            role = "user"  # administering one domain says nothing about another
    if role is None or role == row.role:
        return then
    _check_role(caller, role)
    return replace(then, role=role)


def _check_role(caller: Caller, role: str) -> None:
    """Raises Forbidden."""
    if role == "admin" and not caller.is_admin:
        raise Forbidden("Only an administrator makes somebody administrator. Ask one.")


async def _view(connection: AsyncConnection, caller: Caller, row: UserRow) -> User:
    return user_view(row, await projects.memberships_of(connection, caller, [row.id]))


def _target(row: UserRow) -> audit.Target:
    return audit.Target(row.id, row.name, row.domain_id)


def _values(row: UserRow) -> dict[str, object]:
    return {
        "role": row.role,
        "domain": row.domain,
        "active": row.active,
        "email": row.email,
        "full_name": row.full_name,
        "source": row.source,
        "subject": row.subject,
    }
