"""Usage: what was held of slots and devices, and for how long."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database
from madang.db.repositories import ledger, spans
from madang.domain.budgets import PriceBook, label_of
from madang.domain.calendar import zone_of
from madang.domain.errors import InvalidInput
from madang.domain.ids import Clock
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.domain.usage import By, Period, Prices, Span, Usage, cost, month, month_of, rounded, used_by
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
            period, label = month_of(now, zone), label_of(now, timezone)
        else:
            try:
                first = datetime.strptime(when, "%Y-%m")
                period, label = month(first.year, first.month, zone), f"{first:%Y-%m}"
            except (ValueError, OverflowError):
                raise InvalidInput(f"'{when[:20]}' is no month; write one such as 2026-11.") from None

        async def read(connection: AsyncConnection) -> tuple[list[Span], PriceBook]:
            return await spans.within(connection, caller, period, now), await ledger.book(connection)

        found, book = await self._database.read(read)
        return _report(by, period, used_by(found, by, period), book.prices(label))


def _report(by: By, period: Period, found: dict[str, Usage], prices: Prices) -> UsageReport:
    costs = {name: cost(one, prices) for name, one in found.items()}
    return UsageReport(
        by=by,
        since=period.since,
        until=period.until,
        currency=prices.currency,
        cost=_written(sum(costs.values(), Fraction(0)), prices),
        rows=[
            UsageRow(
                name=name,
                slot_seconds={slot: float(amount) for slot, amount in one.slot_seconds().items()},
                device_hours=[
                    DeviceHours(kind=model.kind, model=model.model, hours=float(hours))
                    for model, hours in one.device_hours().items()
                ],
                gpu_hours=float(one.gpu_hours()),
                cost=_written(costs[name], prices),
            )
            for name, one in found.items()
        ],
    )


def _written(amount: Fraction, prices: Prices) -> str:
    return f"{rounded(amount, prices.digits):f}"
