"""Who changed what: reading the audit."""

from __future__ import annotations

from typing import cast

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, site
from madang.db.rows import AuditFilter, AuditRow
from madang.domain.errors import InvalidInput
from madang.domain.ids import Clock
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.schemas.api import AuditEntry, Page
from madang.schemas.money import Retention

__all__ = ["AuditFilter", "AuditService"]


class AuditService:
    """Administrators see all of it, those of a domain what happened in that."""

    def __init__(self, database: Database, clock: Clock, days: float) -> None:
        """`days`: how long it is kept while nobody has said anything else; 0: for ever."""
        self._database = database
        self._clock = clock
        self._days = days

    async def list(
        self, caller: Caller, wanted: AuditFilter = AuditFilter(), *, limit: int = 50, cursor: str | None = None
    ) -> Page[AuditEntry]:
        """Newest first. Raises Forbidden, InvalidInput for a bad cursor."""
        caller.require(Right.AUDIT_SEE, domain_id=caller.domain_id)
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
            raise InvalidInput("The cursor is not one that a page of this list gave as `next`.")

        async def page(connection: AsyncConnection) -> list[AuditRow]:
            before = None if cursor is None else int(cursor)
            return await audit.page(connection, caller, wanted, limit=limit + 1, before=before)

        rows = await self._database.read(page)
        return Page[AuditEntry](
            items=[_view(row) for row in rows[:limit]], next=str(rows[limit - 1].id) if len(rows) > limit else None
        )

    async def retention(self, caller: Caller) -> Retention:
        """For how long it is kept."""
        caller.require(Right.AUDIT_KEEP)
        return Retention(days=await self._database.read(lambda connection: audit.days(connection, self._days)))

    async def keep(self, caller: Caller, retention: Retention) -> Retention:
        """Keep it so long from now on: what is older goes within minutes, and nothing brings it back."""
        caller.require(Right.AUDIT_KEEP)

        async def save(transaction: Transaction) -> Retention:
            now = self._clock.now()
            before = await audit.days(transaction.connection, self._days)
            await site.put(transaction, audit.DAYS, retention.days, now)
            target = audit.Target(audit.DAYS, "audit")
            values = {"before": {"days": before}, "after": {"days": retention.days}}
            await audit.record(transaction, caller, "audit.retention", target, now, **values)
            return retention

        return await self._database.transaction(save, "audit.retention")


def _view(row: AuditRow) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=row.at,
        actor=row.actor,
        credential=row.credential,
        address=row.address,
        action=row.action,
        target_id=row.target_id,
        target=row.target,
        before=cast("dict[str, JsonValue] | None", row.before),
        after=cast("dict[str, JsonValue] | None", row.after),
    )
