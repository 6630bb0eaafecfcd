"""Many accounts at once, from a table of users: what of it is there already, and saving it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.rows import UserRow
from madang.db.tables import domains, memberships, policies, users
from madang.domain.people import ProjectRole

_u = users.c
_SELECT: Final = select(users, domains.c.name.label("domain")).join(domains, domains.c.id == _u.domain_id)


@dataclass(frozen=True, slots=True)
class AccountNew:
    """An account to make, with its place in a project."""

    user: UserRow
    project_id: str
    role: ProjectRole
    policy: str | None
    password: str | None = field(repr=False)  # its hash; None: a link sets it


async def taken(connection: AsyncConnection, names: Collection[str]) -> Mapping[str, UserRow | None]:
    """The accounts of these names, of whatever domain; None for one that is being deleted, or is no person's."""
    rows = await connection.execute(_SELECT.where(_u.name.in_(names)))
    return {
        row.name: None
        if row.deleted_at is not None or row.robot_of is not None
        else UserRow(
            id=row.id,
            name=row.name,
            role=row.role,
            domain_id=row.domain_id,
            domain=row.domain,
            created_at=row.created_at,
            email=row.email,
            full_name=row.full_name,
            active=row.active,
        )
        for row in rows
    }


async def hold_policies(connection: AsyncConnection, names: Collection[str]) -> set[str]:
    """Those of these policies that there are; in a transaction they stay until its end."""
    query = select(policies.c.name).where(policies.c.name.in_(names)).order_by(policies.c.name)
    found = await connection.execute(query.with_for_update(key_share=True, read=True))
    return set(found.scalars())


async def add(transaction: Transaction, accounts: Sequence[AccountNew]) -> set[str]:
    """Save accounts, which have to change their passwords; returns the names of those whose name is taken.

    By name, so that two who do this at once wait for each other in the same order.
    """
    ordered = sorted(accounts, key=lambda one: one.user.name)
    values = [
        {
            "id": one.user.id,
            "name": one.user.name,
            "role": one.user.role,
            "domain_id": one.user.domain_id,
            "email": one.user.email,
            "full_name": one.user.full_name,
            "created_at": one.user.created_at,
            "policy": one.policy,
            "password": one.password,
            "must_change_password": one.password is not None,
        }
        for one in ordered
    ]
    if not values:
        return set()
    statement = insert(users).on_conflict_do_nothing(index_elements=[_u.name]).returning(_u.name)
    made = set((await transaction.connection.execute(statement, values)).scalars())
    if len(made) < len(ordered):
        return {one.user.name for one in ordered} - made
    places = [
        {
            "project_id": one.project_id,
            "user_id": one.user.id,
            "role": one.role.value,
            "created_at": one.user.created_at,
        }
        for one in ordered
    ]
    await transaction.connection.execute(insert(memberships), places)
    for one in accounts:
        user = one.user
        data = {"user": user.name, "domain": user.domain, "role": user.role}
        transaction.emit("user.created", user.created_at, {**data})
        if one.policy is not None:
            laid = {"policy": one.policy, "upon": "user", "id": user.id}
            transaction.emit("policy.laid", user.created_at, {**laid})
    transaction.wake("tokens")
    return set()
