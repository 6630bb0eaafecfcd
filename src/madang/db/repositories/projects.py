"""Projects as far as a caller has the right to see them, and who is in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, delete, func, or_, select, text, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.failures import constraint_of
from madang.db.repositories import robots
from madang.db.rows import MemberRow, ProjectRow
from madang.db.tables import LIVE, domains, memberships, projects, sessions, users
from madang.domain.errors import Conflict, NameInUse, NotFound
from madang.domain.people import Caller, ProjectRole, project_path, split_path
from madang.domain.rights import Right

_p = projects.c
_m = memberships.c
_s = sessions.c
_MEMBERS: Final = select(func.count()).where(_m.project_id == _p.id).correlate(projects).scalar_subquery()
_SELECT: Final = (
    select(projects, domains.c.name.label("domain"), _MEMBERS.label("members"))
    .join(domains, domains.c.id == _p.domain_id)
    .order_by(domains.c.name, _p.name)
)
_SELECT_MEMBERS: Final = (
    select(
        memberships,
        users.c.name.label("user"),
        users.c.full_name,
        users.c.robot_of,
        _p.name.label("project"),
        domains.c.name.label("domain"),
    )
    .join(users, users.c.id == _m.user_id)
    .join(projects, _p.id == _m.project_id)
    .join(domains, domains.c.id == _p.domain_id)
    .order_by(domains.c.name, _p.name, users.c.name)
)


@dataclass(frozen=True, slots=True)
class Count:
    """Sessions: those that live, those that have ended, and those that are just being removed."""

    live: int
    ended: int
    leaving: int

    def __bool__(self) -> bool:
        return bool(self.live or self.ended or self.leaving)

    def sentence(self) -> str:
        """For people: `2 live sessions and 1 ended session`."""
        counts = [(self.live, "live"), (self.ended, "ended"), (self.leaving, "just deleted")]
        words = [f"{number} {what} session{'' if number == 1 else 's'}" for number, what in counts if number]
        return " and ".join(words) or "no sessions"


def _seen_by(caller: Caller) -> ColumnElement[bool]:
    """The projects that the caller has the right to see. Raises Forbidden when the credential lacks the scope."""
    reach = caller.reach(Right.PROJECT_SEE)
    if reach.everything:
        return true()
    return or_(_p.id.in_(reach.projects), _p.domain_id.in_(reach.domains))


def _row(row: Row[*tuple[Any, ...]]) -> ProjectRow:
    return ProjectRow(row.id, row.domain_id, row.domain, row.name, row.title, row.active, row.created_at, row.members)


def _member(row: Row[*tuple[Any, ...]]) -> MemberRow:
    path = project_path(row.domain, row.project)
    role = ProjectRole(row.role)
    robot = row.robot_of is not None
    return MemberRow(row.user_id, row.user, row.full_name, path, role, row.created_at, row.expires_at, robot)


async def every(connection: AsyncConnection, caller: Caller, domain: str | None = None) -> list[ProjectRow]:
    """Those that the caller may see, of one domain or of all, by path."""
    query = _SELECT.where(_seen_by(caller))
    query = query if domain is None else query.where(domains.c.name == domain)
    return [_row(row) for row in await connection.execute(query)]


async def find(connection: AsyncConnection, caller: Caller, domain: str, name: str) -> ProjectRow:
    """Raises NotFound, also for one that the caller may not see."""
    query = _SELECT.where(domains.c.name == domain, _p.name == name, _seen_by(caller))
    row = (await connection.execute(query)).first()
    if row is None:
        path = project_path(domain, name)
        raise NotFound(f"There is no project '{path[:90]}'. 'madang project ls' shows those there are.")
    return _row(row)


async def named(connection: AsyncConnection, caller: Caller, path: str) -> tuple[str, str]:
    """The id and the path of a project of the caller's, or of another one that the caller may see. Raises NotFound."""
    try:
        mine = caller.membership(path)
    except NotFound:
        row = await find(connection, caller, *split_path(path))
        return row.id, row.path
    return mine.project_id, mine.path


async def hold(transaction: Transaction, caller: Caller, domain: str, name: str) -> ProjectRow:
    """Keep the project from being deleted until the end of the transaction. Raises NotFound."""
    found = await find(transaction.connection, caller, domain, name)
    query = select(_p.id).where(_p.id == found.id).with_for_update(key_share=True, read=True)
    await transaction.connection.execute(query)
    return await find(transaction.connection, caller, domain, name)


async def lock(transaction: Transaction, caller: Caller, domain: str, name: str) -> ProjectRow:
    """The project as it is when nobody else changes it, locked until the end of the transaction. Raises NotFound."""
    found = await find(transaction.connection, caller, domain, name)
    await transaction.connection.execute(select(_p.id).where(_p.id == found.id).with_for_update())
    return await find(transaction.connection, caller, domain, name)


async def add(transaction: Transaction, row: ProjectRow) -> None:
    """Save a new project of a domain. Raises NameInUse."""
    values = {name: getattr(row, name) for name in ("id", "domain_id", "name", "title", "active", "created_at")}
    try:
        await transaction.connection.execute(insert(projects).values(**values))
    except IntegrityError as error:
        if constraint_of(error) == "projects_name":
            raise NameInUse(f"There is a project '{row.path}' already. Choose another name.") from error
        raise
    transaction.emit("project.created", row.created_at, {"project": row.path})


async def save(transaction: Transaction, row: ProjectRow) -> None:
    """Write what can be changed of a project."""
    values = {"title": row.title, "active": row.active}
    await transaction.connection.execute(update(projects).where(_p.id == row.id).values(**values))
    transaction.wake("tokens")


async def remove(transaction: Transaction, row: ProjectRow) -> None:
    """Delete a project without sessions, and its robots."""
    await robots.remove(transaction, [row.id])
    await transaction.connection.execute(delete(projects).where(_p.id == row.id))
    transaction.wake("tokens")


async def sessions_of(connection: AsyncConnection, project_ids: Iterable[str]) -> Count:
    """How many sessions the projects have."""
    return await count(connection, _s.project_id.in_(list(project_ids)))


async def count(connection: AsyncConnection, which: ColumnElement[bool]) -> Count:
    """How many sessions there are of some kind, deleted ones of which something is left included."""
    live = func.count().filter(text(LIVE), _s.deleted_at.is_(None))
    ended = func.count().filter(text(f"NOT {LIVE}"), _s.deleted_at.is_(None))
    leaving = func.count().filter(_s.deleted_at.is_not(None))
    row = (await connection.execute(select(live, ended, leaving).select_from(sessions).where(which))).one()
    return Count(*row)


async def members(connection: AsyncConnection, project_id: str) -> list[MemberRow]:
    """Who is in a project, by name; also those whose time there is over."""
    query = _SELECT_MEMBERS.where(_m.project_id == project_id)
    return [_member(row) for row in await connection.execute(query)]


async def memberships_of(connection: AsyncConnection, caller: Caller, user_ids: Iterable[str]) -> list[MemberRow]:
    """In which projects users are: one's own all, of others in those that the caller may see."""
    mine = _m.user_id == caller.user_id
    query = _SELECT_MEMBERS.where(_m.user_id.in_(list(user_ids)), or_(mine, _seen_by(caller)))
    return [_member(row) for row in await connection.execute(query)]


async def set_member(
    transaction: Transaction,
    project: ProjectRow,
    user_id: str,
    role: ProjectRole,
    *,
    at: datetime,
    expires_at: datetime | None = None,
    source: str | None = None,
) -> None:
    """Let somebody be something in a project, from now on or instead of what it was: by hand, or by a source's rule."""
    now = {"role": role.value, "expires_at": expires_at, "source": source}
    values = {"project_id": project.id, "user_id": user_id, **now}
    statement = insert(memberships).values(created_at=at, **values)
    await transaction.connection.execute(
        statement.on_conflict_do_update(index_elements=[_m.project_id, _m.user_id], set_=now)
    )
    transaction.wake("tokens")


async def remove_member(transaction: Transaction, project: ProjectRow, user_id: str) -> None:
    """Let somebody be in a project no more."""
    await transaction.connection.execute(delete(memberships).where(_m.project_id == project.id, _m.user_id == user_id))
    transaction.wake("tokens")


async def owned_alone(transaction: Transaction, user_id: str) -> list[str]:
    """The paths of projects of which this user is the only owner whose time there does not end.

    Who is in the projects of this owner changes no more until the end of the transaction.
    """
    owned = select(_m.project_id).where(_m.user_id == user_id, _m.role == ProjectRole.OWNER.value)
    locked = select(_p.id).where(_p.id.in_(owned)).order_by(_p.id).with_for_update()
    await transaction.connection.execute(locked)
    others = memberships.alias("others")
    other = (
        select(others.c.user_id)
        .where(
            others.c.project_id == _m.project_id,
            others.c.user_id != _m.user_id,
            others.c.role == ProjectRole.OWNER.value,
            others.c.expires_at.is_(None),
        )
        .correlate(memberships)
        .exists()
    )
    mine = (_m.user_id == user_id) & (_m.role == ProjectRole.OWNER.value) & _m.expires_at.is_(None)
    found = await transaction.connection.execute(_SELECT_MEMBERS.where(mine, ~other))
    return [_member(row).project for row in found]


async def require_owner(transaction: Transaction, project: ProjectRow) -> None:
    """Raises Conflict when a project has no owner any more whose time there does not end."""
    owner = (_m.role == ProjectRole.OWNER.value) & _m.expires_at.is_(None)
    query = select(_m.user_id).where(_m.project_id == project.id, owner).limit(1)
    if (await transaction.connection.execute(query)).first() is None:
        raise Conflict(
            f"The project '{project.path}' would have no owner any more. Make somebody else owner first, without an "
            f"end: madang project member add {project.path} USER --role owner."
        )
