"""Use cases of projects: teams, and who is in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, domains, projects, users
from madang.db.rows import MemberRow, ProjectRow
from madang.domain.errors import Conflict, InvalidInput, NotFound
from madang.domain.ids import Clock, new_id
from madang.domain.people import DEFAULT_PROJECT, Caller, ProjectRole
from madang.domain.rights import Right
from madang.schemas.people import Member, MemberUpdate, Project, ProjectCreate, ProjectUpdate
from madang.services.people_views import member_view, project_view


class ProjectService:
    """`domain` and `name` are those of a project. Errors of all: Forbidden, and NotFound for what the caller may not
    know of."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller, domain: str | None = None) -> Sequence[Project]:
        """By path."""
        rows = await self._database.read(lambda connection: projects.every(connection, caller, domain))
        return [project_view(row) for row in rows]

    async def get(self, caller: Caller, domain: str, name: str) -> Project:
        """Raises NotFound."""
        found = await self._database.read(lambda connection: projects.find(connection, caller, domain, name))
        return project_view(found)

    async def create(self, caller: Caller, domain: str, request: ProjectCreate) -> Project:
        """Make a project; it has an owner from the beginning. Raises NameInUse."""
        now = self._clock.now()

        async def save(transaction: Transaction) -> ProjectRow:
            home = await domains.hold(transaction, caller, domain)
            caller.require(Right.PROJECT_CREATE, domain_id=home.id)
            owner_id = caller.user_id
            if request.owner is not None:
                owner_id = (await users.named(transaction.connection, request.owner)).id
            row = ProjectRow(new_id(), home.id, home.name, request.name, request.title, active=True, created_at=now)
            await projects.add(transaction, row)
            await projects.set_member(transaction, row, owner_id, ProjectRole.OWNER, at=now)
            await audit.record(transaction, caller, "project.create", _target(row), now, after=request.model_dump())
            return replace(row, members=1)

        return project_view(await self._database.transaction(save, "project.create"))

    async def change(self, caller: Caller, domain: str, name: str, request: ProjectUpdate) -> Project:
        """Give it another title; administrators also close it and open it again. What runs in it goes on."""

        async def save(transaction: Transaction) -> ProjectRow:
            row = await projects.lock(transaction, caller, domain, name)
            caller.require(Right.PROJECT_CHANGE, project_id=row.id, domain_id=row.domain_id)
            if request.active is not None and request.active != row.active:
                caller.require(Right.PROJECT_CREATE, domain_id=row.domain_id)
            then = replace(
                row,
                title=row.title if request.title is None else request.title,
                active=row.active if request.active is None else request.active,
            )
            await projects.save(transaction, then)
            now = self._clock.now()
            transaction.emit("project.changed", now, {"project": row.path, "title": then.title, "active": then.active})
            before, after = _values(row), _values(then)
            await audit.record(transaction, caller, "project.set", _target(row), now, before=before, after=after)
            return then

        return project_view(await self._database.transaction(save, "project.change"))

    async def delete(self, caller: Caller, domain: str, name: str) -> None:
        """Delete a project without sessions, also ended ones. Raises Conflict while it has any."""

        async def remove(transaction: Transaction) -> None:
            row = await projects.lock(transaction, caller, domain, name)
            caller.require(Right.PROJECT_CREATE, domain_id=row.domain_id)
            if row.name == DEFAULT_PROJECT:
                raise Conflict(f"The project '{row.path}' stays as long as its domain: new users of it join it.")
            held = await projects.sessions_of(transaction.connection, [row.id])
            if held:
                raise Conflict(
                    f"The project '{row.path}' has {held.sentence()}. Delete these first, with their output and files: "
                    f"'madang session ls --all --project {row.path}' shows them."
                )
            await projects.remove(transaction, row)
            now = self._clock.now()
            transaction.emit("project.deleted", now, {"project": row.path})
            await audit.record(transaction, caller, "project.delete", _target(row), now, before=_values(row))

        await self._database.transaction(remove, "project.delete")

    async def members(self, caller: Caller, domain: str, name: str) -> Sequence[Member]:
        """Who is in it, by name, also those whose time in it is over."""

        async def read(connection: AsyncConnection) -> list[MemberRow]:
            project = await projects.find(connection, caller, domain, name)
            return await projects.members(connection, project.id)

        return [member_view(row) for row in await self._database.read(read)]

    async def set_member(self, caller: Caller, domain: str, name: str, user: str, request: MemberUpdate) -> Member:
        """Take somebody in, of whatever domain, or let a member be something else from now on.

        Raises Conflict when the project would have no owner any more, InvalidInput for a time that is over.
        """

        async def save(transaction: Transaction) -> MemberRow:
            now = self._clock.now()
            project = await self._locked(transaction, caller, domain, name)
            _check_expiry(request.expires_at, now)
            before = await _member(transaction.connection, project, user)
            _check_person(before)
            found = before.user_id if before is not None else (await users.named(transaction.connection, user)).id
            await projects.set_member(transaction, project, found, request.role, at=now, expires_at=request.expires_at)
            await projects.require_owner(transaction, project)
            data = {"project": project.path, "user": user, "role": request.role.value}
            transaction.emit("project.member", now, {**data, "expires_at": _written(request.expires_at)})
            row = await _member(transaction.connection, project, user)
            assert row is not None  # noqa: S101 - it has just been written
            await _record(transaction, caller, project, now, before=before, after=row)
            return row

        return member_view(await self._database.transaction(save, "project.member"))

    async def remove_member(self, caller: Caller, domain: str, name: str, user: str) -> None:
        """Let somebody be in it no more; sessions that they have there go on. Raises Conflict for the last owner."""

        async def remove(transaction: Transaction) -> None:
            project = await self._locked(transaction, caller, domain, name)
            found = await _member(transaction.connection, project, user)
            if found is None:
                raise NotFound(f"'{user[:60]}' is not in the project '{project.path}'.")
            _check_person(found)
            await projects.remove_member(transaction, project, found.user_id)
            await projects.require_owner(transaction, project)
            now = self._clock.now()
            transaction.emit("project.member_gone", now, {"project": project.path, "user": user})
            await _record(transaction, caller, project, now, before=found, after=None)

        await self._database.transaction(remove, "project.member_gone")

    async def _locked(self, transaction: Transaction, caller: Caller, domain: str, name: str) -> ProjectRow:
        """The project of which the caller may change who is in it."""
        project = await projects.lock(transaction, caller, domain, name)
        caller.require(Right.PROJECT_PEOPLE, project_id=project.id, domain_id=project.domain_id)
        return project


async def _member(connection: AsyncConnection, project: ProjectRow, user: str) -> MemberRow | None:
    """Also one who is disabled; None for who is not in it."""
    for one in await projects.members(connection, project.id):
        if one.user == user:
            return one
    return None


async def _record(
    transaction: Transaction,
    caller: Caller,
    project: ProjectRow,
    now: datetime,
    *,
    before: MemberRow | None,
    after: MemberRow | None,
) -> None:
    """Write that who is in a project has changed."""
    await audit.record(
        transaction, caller, "project.member", _target(project), now, before=_place(before), after=_place(after)
    )


def _check_person(row: MemberRow | None) -> None:
    """Raises Conflict."""
    if row is not None and row.robot:
        raise Conflict(
            f"'{row.user}' is the robot of a token of the project: what it may do is said when the token is made. Take "
            f"that back ('madang token ls --project {row.project}' shows its id) and make another."
        )


def _place(row: MemberRow | None) -> dict[str, object] | None:
    return None if row is None else {row.user: row.role.value, "expires_at": _written(row.expires_at)}


def _target(row: ProjectRow) -> audit.Target:
    return audit.Target(row.id, row.path, row.domain_id)


def _values(row: ProjectRow) -> dict[str, object]:
    return {"title": row.title, "active": row.active}


def _check_expiry(expires_at: datetime | None, now: datetime) -> None:
    """Raises InvalidInput."""
    if expires_at is not None and expires_at <= now:
        written = now.isoformat(sep=" ", timespec="seconds")
        raise InvalidInput(f"This membership would be over already: it is {written} now. Name a later time.")


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
