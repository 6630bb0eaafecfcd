"""Names of those to whom resource groups are open, and their ids."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.tables import domains, projects, users
from madang.domain.access import Access
from madang.domain.errors import NotFound
from madang.domain.people import project_path, split_path
from madang.schemas.api import GroupAccess

_PROJECTS = select(projects.c.id, projects.c.name, domains.c.name.label("domain")).join(
    domains, domains.c.id == projects.c.domain_id
)


async def by_names(connection: AsyncConnection, names: GroupAccess) -> Access:
    """Raises NotFound, naming all that there are not."""
    wanted_domains, wanted_users = set(names.domains), set(names.users)
    paths = {split_path(path): path for path in names.projects}
    query = select(domains.c.id, domains.c.name).where(domains.c.name.in_(wanted_domains))
    found_domains = {row.name: row.id for row in await connection.execute(query)}
    in_domains = _PROJECTS.where(projects.c.name.in_({name for _, name in paths}))
    found_projects = {
        (row.domain, row.name): row.id
        for row in await connection.execute(in_domains)
        if (row.domain, row.name) in paths
    }
    there = users.c.deleted_at.is_(None)
    found_users = {
        row.name: row.id
        for row in await connection.execute(
            select(users.c.id, users.c.name).where(users.c.name.in_(wanted_users), there)
        )
    }
    missing = [f"domain '{one}'" for one in sorted(wanted_domains - found_domains.keys())]
    missing += [f"project '{paths[one]}'" for one in sorted(paths.keys() - found_projects.keys())]
    missing += [f"user '{one}'" for one in sorted(wanted_users - found_users.keys())]
    if missing:
        raise NotFound(f"There is no {', no '.join(missing[:5])}. Nothing has been changed.")
    return Access(
        frozenset(found_domains.values()), frozenset(found_projects.values()), frozenset(found_users.values())
    )


async def names(connection: AsyncConnection, access: Access) -> GroupAccess:
    """Those of them that there still are, by name."""
    query = select(domains.c.name).where(domains.c.id.in_(access.domains)).order_by(domains.c.name)
    found_domains = list(await connection.scalars(query))
    in_ids = _PROJECTS.where(projects.c.id.in_(access.projects))
    paths = sorted(project_path(row.domain, row.name) for row in await connection.execute(in_ids))
    there = users.c.deleted_at.is_(None)
    query = select(users.c.name).where(users.c.id.in_(access.users), there).order_by(users.c.name)
    return GroupAccess(domains=found_domains, projects=paths, users=list(await connection.scalars(query)))
