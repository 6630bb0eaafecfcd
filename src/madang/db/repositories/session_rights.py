"""Which sessions a right of a caller extends to: the only place where that becomes a condition on rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import Boolean, ColumnElement, Select, Text, bindparam, case, literal_column, or_, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.rows import SessionRow
from madang.db.statements import among
from madang.db.tables import LIVE, projects, sessions
from madang.domain.people import Caller, Reach, ShareLevel
from madang.domain.rights import Right, gives

_s = sessions.c


# As an array, so that the ids are looked up first and then the sessions by them.
_SHARED: Final = text(
    """
    sessions.id = ANY(ARRAY(
        SELECT session_id FROM session_shares
        WHERE (user_id = :me OR project_id = ANY(:mine)) AND level = ANY(:levels)
    ))
    """
).bindparams(bindparam("mine", type_=ARRAY(Text)), bindparam("levels", type_=ARRAY(Text)))
_SHARES: Final = text(
    """
    SELECT session_id, min(level) AS level FROM session_shares
    WHERE session_id = ANY(:ids) AND (user_id = :me OR project_id = ANY(:mine)) GROUP BY session_id
    """  # 'use' comes before 'view'
).bindparams(bindparam("ids", type_=ARRAY(Text)), bindparam("mine", type_=ARRAY(Text)))


class Seen(NamedTuple):
    """Of what kinds the sessions are that a right of a caller extends to."""

    everything: bool
    domains: bool
    projects: bool
    shared: bool

    @classmethod
    def of(cls, reach: Reach) -> Seen:
        if reach.everything:
            return cls(everything=True, domains=False, projects=False, shared=False)
        return cls(False, bool(reach.domains), bool(reach.projects), bool(reach.levels))


def visible(seen: Seen) -> tuple[ColumnElement[bool], ...]:
    """The conditions on sessions that a caller may know of, never deleted ones."""
    there = _s.deleted_at.is_(None)
    if seen.everything:
        return (there,)
    ways: list[ColumnElement[bool]] = [_s.owner_id == bindparam("me")]
    if seen.shared:
        ways.append(cast("ColumnElement[bool]", _SHARED))
    if seen.projects:
        ways.append(among(_s.project_id, "projects"))
    if seen.domains:
        ways.append(among(projects.c.domain_id, "domains"))
    return (there, or_(*ways))


def newest_named(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Of sessions of one name: the caller's own live one, else a live one, else the newest."""
    return (
        query.where(_s.name == bindparam("ref"))
        .order_by(
            case((_s.owner_id == bindparam("me"), 0), else_=1),
            case((literal_column(f"sessions.{LIVE}", Boolean), 0), else_=1),
            _s.id.desc(),
        )
        .limit(1)
    )


def values_of(caller: Caller, reach: Reach) -> dict[str, object]:
    """What `seen_by` wants to know."""
    return {
        "me": caller.user_id,
        "mine": sorted(caller.memberships),
        "levels": list(reach.levels),
        "projects": list(reach.projects),
        "domains": list(reach.domains),
    }


async def require(connection: AsyncConnection, caller: Caller, row: SessionRow, right: Right) -> None:
    """Raises Forbidden unless the caller, who may see the session, has a right over it."""
    caller.require_scope(right)
    if not gives(right, caller.ties(owner_id=row.owner_id, project_id=row.project_id, domain_id=row.domain_id)):
        share = (await shares(connection, caller, [row])).get(row.id)
        caller.require(right, owner_id=row.owner_id, project_id=row.project_id, domain_id=row.domain_id, share=share)


async def shares(connection: AsyncConnection, caller: Caller, rows: Iterable[SessionRow]) -> dict[str, ShareLevel]:
    """How far others' sessions are shared with the caller or one of the caller's projects, by id; else absent."""
    others = [row.id for row in rows if row.owner_id != caller.user_id]
    if not others:
        return {}
    values = {"me": caller.user_id, "mine": sorted(caller.memberships), "ids": others}
    return {row.session_id: row.level for row in await connection.execute(_SHARES, values)}
