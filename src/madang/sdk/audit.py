"""Who changed what, asynchronously."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from madang.schemas.api import AuditEntry, Page
from madang.schemas.money import Retention
from madang.sdk._transport import API, JSON, Transport

_PAGE: Final = 200


class AsyncAudit:
    """The audit. For administrators, of the site or of a domain."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        target: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[AuditEntry]:
        """Newest first, read page by page as far as you go. `action` may be the first part of one. Raises Forbidden."""
        wanted = {
            "actor": actor,
            "action": action,
            "target": target,
            "since": None if since is None else since.isoformat(),
            "until": None if until is None else until.isoformat(),
        }
        params: dict[str, str | int] = {key: value for key, value in wanted.items() if value is not None}
        cursor: str | None = ""
        while cursor is not None:
            asked = params | {"limit": _PAGE} | ({"cursor": cursor} if cursor else {})
            page = await self._transport.get(Page[AuditEntry], f"{API}/audit", asked)
            for entry in page.items:
                yield entry
            cursor = page.next

    async def retention(self) -> float:
        """For how many days it is kept; 0: for ever."""
        return (await self._transport.get(Retention, f"{API}/audit/retention")).days

    async def keep(self, days: float) -> None:
        """Keep it for so many days, 0: for ever. What is older is deleted."""
        body = Retention(days=days).model_dump_json().encode()
        await self._transport.call("PUT", f"{API}/audit/retention", body=body, headers=JSON)
