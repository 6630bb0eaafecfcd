"""Who changed what: written with the change itself, and never changed afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.repositories import site
from madang.db.rows import AuditFilter, AuditRow
from madang.db.tables import audit
from madang.domain.people import Caller
from madang.domain.rights import Right

_a = audit.c
DAYS: Final = "audit_days"  # the site setting: how long it is kept; 0: for ever
_PERMIT: Final = text("SELECT set_config('madang.forget_audit', 'on', true)")

Values = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Target:
    """What is changed: its id, and what people call it. `domain_id`: None for what is of the whole site."""

    id: str
    name: str
    domain_id: str | None = None


async def record(
    transaction: Transaction,
    caller: Caller,
    action: str,
    target: Target,
    at: datetime,
    *,
    before: Values | None = None,
    after: Values | None = None,
) -> None:
    """Write that a caller did something, with what was before and after of what changed. No secrets."""
    if before is not None and after is not None:
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        before = {key: value for key, value in before.items() if key in changed}
        after = {key: value for key, value in after.items() if key in changed}
    values = {
        "at": at,
        "actor_id": caller.user_id,
        "actor": caller.name,
        "credential": caller.credential,
        "address": caller.address,
        "action": action,
        "target_id": target.id,
        "target": target.name,
        "domain_id": target.domain_id,
        "before": before,
        "after": after,
    }
    await transaction.connection.execute(insert(audit), values)


async def page(
    connection: AsyncConnection, caller: Caller, wanted: AuditFilter, *, limit: int, before: int | None
) -> list[AuditRow]:
    """Newest first, those older than the id `before`: all of the site, or of the caller's domain."""
    reach = caller.reach(Right.AUDIT_SEE)
    query = select(audit).order_by(_a.id.desc()).limit(limit)
    if not reach.everything:
        query = query.where(_a.domain_id.in_(reach.domains))
    if wanted.actor is not None:
        query = query.where(_a.actor == wanted.actor)
    if wanted.action is not None:
        query = query.where((_a.action == wanted.action) | _a.action.startswith(f"{wanted.action}.", autoescape=True))
    if wanted.target is not None:
        query = query.where((_a.target_id == wanted.target) | (_a.target == wanted.target))
    if wanted.since is not None:
        query = query.where(_a.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(_a.at < wanted.until)
    if before is not None:
        query = query.where(_a.id < before)
    return [
        AuditRow(
            id=row.id,
            at=row.at,
            actor=row.actor,
            credential=row.credential,
            address=row.address,
            action=row.action,
            target_id=row.target_id,
            target=row.target,
            before=row.before,
            after=row.after,
        )
        for row in await connection.execute(query)
    ]


async def days(connection: AsyncConnection, default: float) -> float:
    """How long it is kept; 0: for ever."""
    kept = await site.get(connection, DAYS)
    return default if kept is None else float(kept)


async def forget(transaction: Transaction, before: datetime) -> None:
    """Delete what is older than a moment."""
    await transaction.connection.execute(_PERMIT)
    await transaction.connection.execute(delete(audit).where(_a.at < before))
