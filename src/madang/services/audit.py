"""Who changed what: reading the audit."""

from __future__ import annotations

from typing import cast

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database
from madang.db.repositories import audit
from madang.db.rows import AuditFilter, AuditRow
from madang.domain.errors import InvalidInput
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.schemas.api import AuditEntry, Page

__all__ = ["AuditFilter", "AuditService"]


class AuditService:
    """Administrators see all of it, those of a domain what happened in that."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
