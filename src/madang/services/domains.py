"""Use cases of domains: the organisations on one platform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, domains, projects, users
from madang.db.rows import DomainRow, ProjectRow
from madang.domain.errors import Conflict
from madang.domain.ids import Clock, new_id
from madang.domain.people import DEFAULT_DOMAIN, DEFAULT_PROJECT, Caller, ProjectRole
from madang.domain.rights import Right
from madang.schemas.people import Domain, DomainCreate, DomainUpdate
from madang.services.people_views import domain_view


class DomainService:
    """Administrators see and change all; others see their own. Errors of all: Forbidden, NotFound."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller) -> Sequence[Domain]:
        """By name."""
        rows = await self._database.read(lambda connection: domains.every(connection, caller))
        return [domain_view(row) for row in rows]

    async def get(self, caller: Caller, name: str) -> Domain:
        """Raises NotFound, also for one that is not the caller's."""
        return domain_view(await self._database.read(lambda connection: domains.find(connection, caller, name)))

    async def create(self, caller: Caller, request: DomainCreate) -> Domain:
        """Make a domain with a project `default`, which the caller owns and its users will join. Raises NameInUse."""
        caller.require(Right.DOMAIN_CHANGE)
        now = self._clock.now()
        row = DomainRow(new_id(), request.name, request.title, active=True, created_at=now, projects=1)
        project = ProjectRow(new_id(), row.id, row.name, DEFAULT_PROJECT, "", active=True, created_at=now)

        async def save(transaction: Transaction) -> None:
            await domains.add(transaction, row)
            await projects.add(transaction, project)
            await projects.set_member(transaction, project, caller.user_id, ProjectRole.OWNER, at=now)
            await audit.record(transaction, caller, "domain.create", _target(row), now, after=request.model_dump())

        await self._database.transaction(save, "domain.create")
        return domain_view(row)

    async def change(self, caller: Caller, name: str, request: DomainUpdate) -> Domain:
        """Raises Conflict when no administrator could sign in any more."""

        async def save(transaction: Transaction) -> DomainRow:
            await users.lock_admins(transaction)
            row = await domains.lock(transaction, caller, name)
            caller.require(Right.DOMAIN_CHANGE, domain_id=row.id)
            then = replace(
                row,
                title=row.title if request.title is None else request.title,
                active=row.active if request.active is None else request.active,
            )
            await domains.save(transaction, then)
            await users.require_admin(transaction)
            now = self._clock.now()
            transaction.emit("domain.changed", now, {"domain": name, "title": then.title, "active": then.active})
            before, after = _values(row), _values(then)
            await audit.record(transaction, caller, "domain.set", _target(row), now, before=before, after=after)
            return then

        return domain_view(await self._database.transaction(save, "domain.change"))

    async def delete(self, caller: Caller, name: str) -> None:
        """Delete a domain without users, with its project `default`. Raises Conflict unless it is empty."""

        async def remove(transaction: Transaction) -> None:
            row = await domains.lock(transaction, caller, name)
            caller.require(Right.DOMAIN_CHANGE, domain_id=row.id)
            if row.name == DEFAULT_DOMAIN:
                raise Conflict(f"The domain '{DEFAULT_DOMAIN}' stays: it is where everybody is who is nowhere else.")
            inside = await projects.every(transaction.connection, caller, row.name)
            others = [one.name for one in inside if one.name != DEFAULT_PROJECT]
            sessions = await projects.sessions_of(transaction.connection, [one.id for one in inside])
            if row.users or others or sessions:
                held = [f"{row.users} users", f"projects ({', '.join(others[:5]) or 'none'})", sessions.sentence()]
                raise Conflict(f"The domain '{name}' is not empty: {', '.join(held)}. Delete or move these first.")
            await domains.remove(transaction, row)
            now = self._clock.now()
            transaction.emit("domain.deleted", now, {"domain": row.name})
            await audit.record(transaction, caller, "domain.delete", _target(row), now, before=_values(row))

        await self._database.transaction(remove, "domain.delete")


def _target(row: DomainRow) -> audit.Target:
    return audit.Target(row.id, row.name, row.id)


def _values(row: DomainRow) -> dict[str, object]:
    return {"title": row.title, "active": row.active}
