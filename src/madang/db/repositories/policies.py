"""Policies, upon whom they are laid, and how many sessions somebody has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Table, delete, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.rows import Holder, PolicyRow, SessionRow
from madang.db.tables import domains, policies, projects, users
from madang.domain.limits import Limits, Rule, parse_limits, write_limits
from madang.domain.people import DEFAULT_DOMAIN, project_path
from madang.scheduling.quotas import Subject

_p = policies.c

_COLUMNS: Final[Mapping[Holder, tuple[Table, str]]] = {
    "user": (users, "policy"),
    "project": (projects, "policy"),
    "member": (projects, "member_policy"),
    "domain": (domains, "policy"),
    "domain_user": (domains, "user_policy"),
}

_HOLDERS: Final = text(
    """
    SELECT policy, 'user' AS kind, name, '' AS domain FROM users WHERE policy IS NOT NULL
    UNION ALL SELECT p.policy, 'project', p.name, d.name FROM projects p JOIN domains d ON d.id = p.domain_id
        WHERE p.policy IS NOT NULL
    UNION ALL SELECT p.member_policy, 'member', p.name, d.name FROM projects p JOIN domains d ON d.id = p.domain_id
        WHERE p.member_policy IS NOT NULL
    UNION ALL SELECT policy, 'domain', name, '' FROM domains WHERE policy IS NOT NULL
    UNION ALL SELECT user_policy, 'domain_user', name, '' FROM domains WHERE user_policy IS NOT NULL
    ORDER BY 1, 2, 3, 4
    """
)

# The policies that count for a session of a user in a project. A user without one has that of the user's own domain.
_RULES: Final = text(
    """
    SELECT r.on, r.name, p.name AS policy, p.limits FROM (
        SELECT 'user' AS on, u.name, coalesce(u.policy, h.user_policy) AS policy
            FROM users u JOIN domains h ON h.id = u.domain_id WHERE u.id = :user
        UNION ALL SELECT 'member', :path, member_policy FROM projects WHERE id = :project
        UNION ALL SELECT 'project', :path, policy FROM projects WHERE id = :project
        UNION ALL SELECT 'domain', d.name, d.policy
            FROM domains d JOIN projects p ON p.domain_id = d.id WHERE p.id = :project
    ) r JOIN policies p ON p.name = r.policy
    """
)

_COUNTS: Final = text(
    """
    SELECT count(*) AS live, count(*) FILTER (WHERE s.state = 'pending') AS pending
    FROM sessions s JOIN projects p ON p.id = s.project_id
    WHERE s.state IN ('pending', 'scheduled', 'preparing', 'running', 'terminating')
        AND (:on NOT IN ('user', 'member') OR s.owner_id = :user)
        AND (:on NOT IN ('project', 'member') OR s.project_id = :project)
        AND (:on <> 'domain' OR p.domain_id = :domain)
    """
)
_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")

# Everybody who may hold only so much of something, for the scheduler.
_ALLOWED: Final = text(
    """
    SELECT r.kind, r.name, r.project, r.domain, p.limits FROM (
        SELECT 'user' AS kind, u.name, '' AS project, '' AS domain, coalesce(u.policy, h.user_policy) AS policy
            FROM users u JOIN domains h ON h.id = u.domain_id
        UNION ALL SELECT 'member', u.name, p.name, d.name, p.member_policy
            FROM projects p JOIN domains d ON d.id = p.domain_id JOIN memberships m ON m.project_id = p.id
            JOIN users u ON u.id = m.user_id
        UNION ALL SELECT 'project', '', p.name, d.name, p.policy FROM projects p JOIN domains d ON d.id = p.domain_id
        UNION ALL SELECT 'domain', name, '', '', policy FROM domains
    ) r JOIN policies p ON p.name = r.policy
    WHERE p.limits ? 'slots'
    """
)


async def every(connection: AsyncConnection) -> list[PolicyRow]:
    """By name."""
    holders: dict[str, list[tuple[Holder, str]]] = {}
    for row in await connection.execute(_HOLDERS):
        name = project_path(row.domain, row.name) if row.domain else row.name
        holders.setdefault(row.policy, []).append((row.kind, name))
    rows = await connection.execute(select(policies).order_by(_p.name))
    return [
        PolicyRow(row.name, parse_limits(row.limits), row.created_at, tuple(holders.get(row.name, ()))) for row in rows
    ]


async def lock(transaction: Transaction, name: str) -> Limits | None:
    """The limits of a policy, locked until the end of the transaction."""
    query = select(_p.limits).where(_p.name == name).with_for_update()
    limits = await transaction.connection.scalar(query)
    return None if limits is None else parse_limits(limits)


async def save(transaction: Transaction, name: str, limits: Limits, at: datetime) -> None:
    """Make a policy, or give it other limits."""
    written = write_limits(limits)
    statement = insert(policies).values(name=name, limits=written, created_at=at)
    statement = statement.on_conflict_do_update(index_elements=[_p.name], set_={"limits": written})
    await transaction.connection.execute(statement)
    transaction.emit("policy.changed", at, {"policy": name})


async def remove(transaction: Transaction, name: str, at: datetime) -> None:
    """Delete a policy that is laid upon nobody."""
    await transaction.connection.execute(delete(policies).where(_p.name == name))
    transaction.emit("policy.removed", at, {"policy": name})


@dataclass(frozen=True, slots=True)
class Found:
    """Who a policy is laid upon, and in which domain."""

    id: str
    domain_id: str


async def holder(connection: AsyncConnection, upon: Holder, name: str) -> Found | None:
    """Somebody by name; a project by its path."""
    table = _COLUMNS[upon][0]
    query = select(table.c.id, table.c.id if table is domains else table.c.domain_id)
    if table is projects:
        domain, _, project = name.rpartition("/")
        query = query.join(domains, domains.c.id == projects.c.domain_id)
        query = query.where(projects.c.name == project, domains.c.name == (domain or DEFAULT_DOMAIN))
    else:
        query = query.where(table.c.name == name)
    row = (await connection.execute(query)).first()
    return None if row is None else Found(row[0], row[1])


async def lay(transaction: Transaction, policy: str | None, upon: Holder, holder_id: str, at: datetime) -> str | None:
    """Lay a policy upon somebody, by id, or take it from there; returns what was laid there before."""
    table, column = _COLUMNS[upon]
    query = select(table.c[column]).where(table.c.id == holder_id).with_for_update()
    before: str | None = await transaction.connection.scalar(query)
    await transaction.connection.execute(update(table).where(table.c.id == holder_id).values({column: policy}))
    transaction.emit("policy.laid", at, {"policy": policy, "upon": upon, "id": holder_id})
    return before


async def rules(connection: AsyncConnection, row: SessionRow) -> list[Rule]:
    """What counts for a session, narrowest first."""
    values = {"user": row.owner_id, "project": row.project_id, "path": row.project}
    found = await connection.execute(_RULES, values)
    order = ("member", "user", "project", "domain")
    return sorted(
        (Rule(one.policy, one.on, one.name, parse_limits(one.limits)) for one in found),
        key=lambda rule: order.index(rule.on),
    )


async def hold_counts(transaction: Transaction, row: SessionRow, counted: Sequence[Rule]) -> None:
    """Nobody else creates a session that counts for any of these rules until the end of the transaction."""
    for key in sorted(_key(row, rule) for rule in counted):
        await transaction.connection.execute(_LOCK, {"key": key})


async def counts(connection: AsyncConnection, row: SessionRow, rule: Rule) -> tuple[int, int]:
    """How many live sessions the subject of a rule has, and how many of these wait."""
    values = {"on": rule.on, "user": row.owner_id, "project": row.project_id, "domain": row.domain_id}
    found = (await connection.execute(_COUNTS, values)).one()
    return found.live, found.pending


def _key(row: SessionRow, rule: Rule) -> str:
    match rule.on:
        case "user":
            return f"user {row.owner_id}"
        case "member":
            return f"member {row.project_id} {row.owner_id}"
        case "project":
            return f"project {row.project_id}"
        case _:
            return f"domain {row.domain_id}"


async def allowed(connection: AsyncConnection) -> dict[Subject, Mapping[str, int]]:
    """What everybody with a quota may hold of which slot."""
    found: dict[Subject, Mapping[str, int]] = {}
    for row in await connection.execute(_ALLOWED):
        project = project_path(row.domain, row.project) if row.project else ""
        subject = Subject("project", project) if row.kind == "project" else Subject(row.kind, row.name, project)
        found[subject] = parse_limits(row.limits).slots
    return found
