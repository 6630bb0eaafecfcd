"""Invitations into projects: a link, the project behind it, and whether who made it may still invite."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.repositories import links
from madang.db.rows import LinkRow, ProjectRow
from madang.db.tables import domains, memberships, projects, users
from madang.domain.people import Caller, Membership, ProjectRole
from madang.domain.rights import Right, gives

_u = users.c
_p = projects.c
_m = memberships.c
_PROJECT: Final = select(projects, domains.c.name.label("domain"), domains.c.active.label("domain_active")).join(
    domains, domains.c.id == _p.domain_id
)


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """A link into a project. `open`: project and domain are; `backed`: its maker may still invite into the project."""

    link: LinkRow
    project: ProjectRow
    open: bool
    backed: bool


async def find(connection: AsyncConnection, digest: bytes, now: datetime) -> InvitationRow | None:
    """The invitation of a digest, also one that is over; of whatever project: whoever has the secret may know of it."""
    link = await links.by_digest(connection, digest)
    if link is None or link.kind != "invitation" or link.project_id is None:
        return None
    row = (await connection.execute(_PROJECT.where(_p.id == link.project_id))).one()
    project = ProjectRow(row.id, row.domain_id, row.domain, row.name, row.title, row.active, row.created_at)
    backed = await _may_invite(connection, link.created_by, project, now)
    return InvitationRow(link, project, row.active and row.domain_active, backed)


async def lock(transaction: Transaction, digest: bytes, now: datetime) -> InvitationRow | None:
    """The same; until the end of the transaction nobody else changes who is in the project."""
    found = await find(transaction.connection, digest, now)
    if found is None:
        return None
    await transaction.connection.execute(select(_p.id).where(_p.id == found.project.id).with_for_update())
    return await find(transaction.connection, digest, now)


async def backed(connection: AsyncConnection, project: ProjectRow, now: datetime) -> list[LinkRow]:
    """The good invitations into a project, newest first."""
    found = await links.of_project(connection, project.id, now)
    makers = {maker: await _may_invite(connection, maker, project, now) for maker in {one.created_by for one in found}}
    return [one for one in found if makers[one.created_by]]


async def _may_invite(connection: AsyncConnection, user_id: str, project: ProjectRow, now: datetime) -> bool:
    query = (
        select(users, domains.c.active.label("domain_active"), _m.role.label("there"), _m.expires_at)
        .join(domains, domains.c.id == _u.domain_id)
        .outerjoin(memberships, (_m.user_id == _u.id) & (_m.project_id == project.id))
        .where(_u.id == user_id, _u.active, _u.deleted_at.is_(None), domains.c.active)
    )
    row = (await connection.execute(query)).first()
    if row is None:
        return False
    places = {}
    if row.there is not None and (row.expires_at is None or row.expires_at > now):
        places[project.id] = Membership(project.id, project.path, ProjectRole(row.there))
    maker = Caller(row.id, row.name, row.role, row.domain_id, places)
    return gives(Right.PROJECT_PEOPLE, maker.ties(project_id=project.id, domain_id=project.domain_id))
