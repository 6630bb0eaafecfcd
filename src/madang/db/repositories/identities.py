"""Accounts of people of other systems, by who they are there. For sign-in only: no tenant filters, since nobody is
signed in yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.rows import ProjectRow
from madang.db.site_tables import signing_keys
from madang.db.tables import domains, memberships, projects, tokens, users
from madang.domain.people import ProjectRole, split_path

_u = users.c
_m = memberships.c
_p = projects.c
_d = domains.c


@dataclass(frozen=True, slots=True)
class Place:
    """Somebody's place in a project, and which source gave it: none when a person did."""

    project: ProjectRow
    role: ProjectRole
    source: str | None


async def lock(transaction: Transaction, source: str, subject: str) -> tuple[str, bool] | None:
    """The id of the account of an identity, locked, and whether it is being deleted; None without one."""
    query = select(_u.id, _u.deleted_at).where(_u.source == source, _u.subject == subject).with_for_update()
    row = (await transaction.connection.execute(query)).first()
    return None if row is None else (row.id, row.deleted_at is not None)


async def tie(transaction: Transaction, user_id: str, source: str, subject: str) -> None:
    """The account is that of an identity from now on."""
    values = {"source": source, "subject": subject}
    await transaction.connection.execute(update(users).where(_u.id == user_id).values(**values))


async def describe(transaction: Transaction, user_id: str, email: str | None, full_name: str) -> None:
    """Write what the other system says of the person."""
    values = {"email": email, "full_name": full_name}
    await transaction.connection.execute(update(users).where(_u.id == user_id).values(**values))


async def domain_id(transaction: Transaction, name: str) -> str | None:
    """The domain of a name, kept from being deleted until the end of the transaction; None without one."""
    query = select(_d.id).where(_d.name == name).with_for_update(key_share=True, read=True)
    found: str | None = await transaction.connection.scalar(query)
    return found


async def projects_at(transaction: Transaction, paths: Iterable[str]) -> dict[str, ProjectRow]:
    """The projects of these paths, kept from being deleted; paths without a project are left out."""
    wanted = [split_path(path) for path in paths]
    query = (
        select(projects, _d.name.label("domain"))
        .join(domains, _d.id == _p.domain_id)
        .where(tuple_(_d.name, _p.name).in_(wanted))
        .order_by(_p.id)
        .with_for_update(key_share=True, read=True, of=projects)
    )
    found = [
        ProjectRow(row.id, row.domain_id, row.domain, row.name, row.title, row.active, row.created_at)
        for row in await transaction.connection.execute(query)
    ]
    return {row.path: row for row in found}


async def places(transaction: Transaction, user_id: str) -> dict[str, Place]:
    """Where somebody is, by the id of the project."""
    query = (
        select(projects, _d.name.label("domain"), _m.role, _m.source)
        .join(memberships, _m.project_id == _p.id)
        .join(domains, _d.id == _p.domain_id)
        .where(_m.user_id == user_id)
    )
    return {
        row.id: Place(
            ProjectRow(row.id, row.domain_id, row.domain, row.name, row.title, row.active, row.created_at),
            ProjectRole(row.role),
            row.source,
        )
        for row in await transaction.connection.execute(query)
    }


async def of_source(connection: AsyncConnection, source: str, now: datetime) -> list[tuple[str, str]]:
    """Id and subject of each account of a source that can be used: it has a credential."""
    credential = [
        select(one.c.id)
        .where(
            one.c.user_id == _u.id, one.c.revoked_at.is_(None), or_(one.c.expires_at.is_(None), one.c.expires_at > now)
        )
        .exists()
        for one in (tokens, signing_keys)
    ]
    query = (
        select(_u.id, _u.subject)
        .where(_u.source == source, _u.subject.is_not(None), _u.active, _u.deleted_at.is_(None), or_(*credential))
        .order_by(_u.id)
    )
    return [(row.id, row.subject) for row in await connection.execute(query)]
