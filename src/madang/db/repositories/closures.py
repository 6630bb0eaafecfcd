"""Whose waiting sessions may not start for now, because what a month allows is used up; and budgets of projects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, Text, bindparam, delete, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.site_tables import budget_notices, closures
from madang.db.tables import memberships, projects
from madang.domain.budgets import BudgetRule, parse_budget, write_budget
from madang.domain.limits import parse_limits
from madang.domain.people import ProjectRole, project_path
from madang.domain.usage import Spending
from madang.domain.why import Why, WhyCode

_c = closures.c
_n = budget_notices.c
_m = memberships.c
_p = projects.c
_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtextextended('closures', 0))")
_BUDGETS: Final = text(
    """
    SELECT p.id, p.name, d.name AS domain, p.budget FROM projects p JOIN domains d ON d.id = p.domain_id
    WHERE p.budget IS NOT NULL
    """
)
_HOURS: Final = text(
    """
    SELECT r.*, p.limits FROM (
        SELECT 'user' AS kind, u.id, u.name, '' AS project_id, '' AS project, '' AS domain,
            coalesce(u.policy, h.user_policy) AS policy FROM users u JOIN domains h ON h.id = u.domain_id
        UNION ALL SELECT 'member', u.id, u.name, p.id, p.name, d.name, p.member_policy
            FROM projects p JOIN domains d ON d.id = p.domain_id JOIN memberships m ON m.project_id = p.id
            JOIN users u ON u.id = m.user_id
        UNION ALL SELECT 'project', p.id, p.name, p.id, p.name, d.name, p.policy
            FROM projects p JOIN domains d ON d.id = p.domain_id
        UNION ALL SELECT 'domain', id, name, '', '', '', policy FROM domains
    ) r JOIN policies p ON p.name = r.policy WHERE p.limits ? 'gpu_hours'
    """
)
_RUNNING: Final = text(
    """
    SELECT id FROM sessions WHERE state IN ('scheduled', 'preparing', 'running') AND project_id = ANY(:projects)
    """
).bindparams(bindparam("projects", type_=ARRAY(Text)))


class Holder(NamedTuple):
    """Whose sessions: a user's, all of a project, of a domain, or a member's: a user's in one project."""

    kind: str
    id: str
    member_of: str = ""


Closed = Mapping[Holder, Sequence[Why]]


@dataclass(frozen=True, slots=True)
class Budgeted:
    """A project with a budget."""

    id: str
    path: str
    rule: BudgetRule


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many GPU-hours a month for somebody."""

    holder: Holder
    name: str  # of a member: of the user
    project: str  # its path, of a member
    hours: Decimal


async def every(connection: AsyncConnection) -> dict[Holder, list[Why]]:
    """Whose sessions may not start, and why."""
    found: dict[Holder, list[Why]] = {}
    for row in await connection.execute(select(closures).order_by(_c.cause)):
        why = Why(WhyCode(row.cause), row.values)
        found.setdefault(Holder(row.kind, row.holder_id, row.member_of), []).append(why)
    return found


async def hold(transaction: Transaction) -> None:
    """Nobody else writes closures until the end of the transaction."""
    await transaction.connection.execute(_LOCK)


async def write(transaction: Transaction, wanted: Closed, at: datetime) -> None:
    """Let these be closed, and nobody else."""
    await transaction.connection.execute(delete(closures))
    rows = [
        {
            "kind": holder.kind,
            "holder_id": holder.id,
            "member_of": holder.member_of,
            "cause": why.code.value,
            "values": dict(why.values),
        }
        for holder, whys in wanted.items()
        for why in whys
    ]
    if rows:
        await transaction.connection.execute(insert(closures), rows)
    transaction.emit("closures.changed", at, {"closed": len(rows)})


async def budgets(connection: AsyncConnection) -> list[Budgeted]:
    """The projects that have one."""
    return [
        Budgeted(row.id, project_path(row.domain, row.name), parse_budget(row.budget))
        for row in await connection.execute(_BUDGETS)
    ]


async def budget(connection: AsyncConnection, project_id: str) -> BudgetRule | None:
    """Of a project; None: it has none."""
    written = await connection.scalar(select(_p.budget).where(_p.id == project_id))
    return None if written is None else parse_budget(written)


async def set_budget(transaction: Transaction, project_id: str, rule: BudgetRule | None) -> None:
    """Give a project a budget, or none. What was told of the old one will be told again of this."""
    written: Any = None if rule is None else write_budget(rule)
    await transaction.connection.execute(update(projects).where(_p.id == project_id).values(budget=written))
    await transaction.connection.execute(delete(budget_notices).where(_n.project_id == project_id))


async def notice(transaction: Transaction, project_id: str, since: datetime, standing: Spending) -> bool:
    """Whether nobody has told yet how the budget of a month stands; from now on it counts as told."""
    values = {"project_id": project_id, "since": since, "standing": standing.value}
    statement = insert(budget_notices).values(**values).on_conflict_do_nothing().returning(_n.project_id)
    return (await transaction.connection.execute(statement)).first() is not None


async def noticed(connection: AsyncConnection, since: datetime) -> set[tuple[str, str]]:
    """What was told of a month: projects and standings."""
    rows = await connection.execute(select(_n.project_id, _n.standing).where(_n.since == since))
    return {(row.project_id, row.standing) for row in rows}


async def owners(connection: AsyncConnection, project_id: str, now: datetime) -> list[str]:
    """Who is to be told of a project's budget: the ids of its owners."""
    theirs = (_m.project_id == project_id, _m.role == ProjectRole.OWNER.value)
    query = select(_m.user_id).where(*theirs, or_(_m.expires_at.is_(None), _m.expires_at > now)).order_by(_m.user_id)
    return list((await connection.execute(query)).scalars())


async def allowances(connection: AsyncConnection) -> list[Allowance]:
    """Everybody who has only so many GPU-hours a month."""
    return [one for row in await connection.execute(_HOURS) if (one := _allowance(row)) is not None]


async def running(connection: AsyncConnection, project_ids: Sequence[str]) -> list[str]:
    """Sessions of projects that hold room and are not being stopped."""
    found = await connection.execute(_RUNNING, {"projects": list(project_ids)})
    return list(found.scalars())


def _allowance(row: Row[*tuple[Any, ...]]) -> Allowance | None:
    hours = parse_limits(row.limits).gpu_hours
    if hours is None:
        return None
    path = project_path(row.domain, row.project) if row.project else ""
    member = row.kind == "member"
    name = path if row.kind == "project" else row.name
    return Allowance(Holder(row.kind, row.id, row.project_id if member else ""), name, path if member else "", hours)
