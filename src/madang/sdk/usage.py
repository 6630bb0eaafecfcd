"""What was used, asynchronously."""

from __future__ import annotations

from typing import Literal

from madang.schemas.api import UsageReport
from madang.sdk._transport import API, Transport

By = Literal["session", "user", "project", "domain"]


class AsyncUsage:
    """What was held of slots and devices, and for how long."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def report(self, by: By = "user", *, month: str | None = None, timezone: str = "UTC") -> UsageReport:
        """Of a month such as `2026-11`, or the present one. Raises InvalidInput."""
        params = {"by": by, "timezone": timezone} | ({} if month is None else {"month": month})
        return await self._transport.get(UsageReport, f"{API}/usage", params)
