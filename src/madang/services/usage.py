"""Usage: what was held of slots and devices, and for how long."""

from __future__ import annotations

from datetime import datetime

from madang.db.engine import Database
from madang.db.repositories import spans
from madang.domain.calendar import zone_of
from madang.domain.errors import InvalidInput
from madang.domain.ids import Clock
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.domain.usage import By, Period, Usage, month, month_of, used_by
from madang.schemas.api import DeviceHours, UsageReport, UsageRow

__all__ = ["By", "UsageService"]


class UsageService:
    """Everybody sees what is their own, owners that of their project, administrators all."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def report(self, caller: Caller, by: By, when: str | None = None, timezone: str = "UTC") -> UsageReport:
        """Of a month of a place, written `2026-11`; without one of the present month, until now.

        Raises InvalidInput for what is no month or time zone, Forbidden.
        """
        caller.require_scope(Right.USAGE_SEE)
        zone, now = zone_of(timezone), self._clock.now()
        if when is None:
            period = month_of(now, zone)
        else:
            try:
                first = datetime.strptime(when, "%Y-%m")
                period = month(first.year, first.month, zone)
            except (ValueError, OverflowError):
                raise InvalidInput(f"'{when[:20]}' is no month; write one such as 2026-11.") from None
        found = await self._database.read(lambda connection: spans.within(connection, caller, period, now))
        return _report(by, period, used_by(found, by, period))


def _report(by: By, period: Period, found: dict[str, Usage]) -> UsageReport:
    return UsageReport(
        by=by,
        since=period.since,
        until=period.until,
        rows=[
            UsageRow(
                name=name,
                slot_seconds={slot: float(amount) for slot, amount in one.slot_seconds().items()},
                device_hours=[
                    DeviceHours(kind=model.kind, model=model.model, hours=float(hours))
                    for model, hours in one.device_hours().items()
                ],
                gpu_hours=float(one.gpu_hours()),
            )
            for name, one in found.items()
        ],
    )
