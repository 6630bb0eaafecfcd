"""What projects may spend in a month, what becomes of them when they have, and which prices count for which month."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from madang.domain.calendar import zone_of
from madang.domain.errors import InvalidInput
from madang.domain.usage import Budget, Period, Prices, Written, month_of, parse_prices, write_prices

NO_PRICES: Final = Prices("points")
_AMOUNT: Final = re.compile(r"\d{1,15}(\.\d{1,6})?", re.ASCII)
_LONGEST_GRACE: Final = 3600


class StopRule(StrEnum):
    """What becomes of the sessions of a project that has spent its budget."""

    NONE = "none"  # nothing; people are only told
    NO_NEW_SESSIONS = "no-new-sessions"  # none is accepted or started any more
    STOP_RUNNING = "stop-running"  # and those that run are stopped


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """The budget of a project; `grace_seconds` is what sessions that are stopped have to end by themselves."""

    budget: Budget
    stop: StopRule = StopRule.NO_NEW_SESSIONS
    grace_seconds: float = 60.0


def parse_budget(written: Mapping[str, str | int | float]) -> BudgetRule:
    """Read `{"amount": "1000", "warn_percent": 80, "stop": "none", "grace_seconds": 60}`. Raises InvalidInput."""
    amount = str(written.get("amount", "")).strip()
    if not _AMOUNT.fullmatch(amount):
        raise InvalidInput(f"amount: '{amount[:30]}' is no amount; write one such as 500000 or 12.50.")
    warn = written.get("warn_percent", 80)
    if isinstance(warn, bool) or not isinstance(warn, int) or not 1 <= warn <= 100:
        raise InvalidInput("warn_percent: write a share of the budget in percent, 1 to 100.")
    stop = str(written.get("stop", StopRule.NO_NEW_SESSIONS))
    if stop not in list(StopRule):
        raise InvalidInput(f"stop: '{stop[:30]}' is no stop rule; there are {', '.join(StopRule)}.")
    grace = float(written.get("grace_seconds", 60.0))
    if not 0 <= grace <= _LONGEST_GRACE:
        raise InvalidInput(f"grace_seconds: write 0 to {_LONGEST_GRACE} seconds.")
    return BudgetRule(Budget(Decimal(amount), warn), StopRule(stop), grace)


def write_budget(rule: BudgetRule) -> dict[str, str | int | float]:
    """As it is stored; `parse_budget` reads the very same back."""
    return {
        "amount": f"{rule.budget.amount:f}",
        "warn_percent": rule.budget.warn_percent,
        "stop": rule.stop.value,
        "grace_seconds": rule.grace_seconds,
    }


@dataclass(frozen=True, slots=True)
class PriceBook:
    """The prices of every month, and in the time of which place months begin.

    A price table counts for the whole month in which it was set and all that follow, so what a month costs that is over
    never changes.
    """

    timezone: str = "UTC"
    tables: Mapping[str, Prices] = field(default_factory=dict)  # by the first month for which it counts: 2026-11

    def month(self, now: datetime) -> Period:
        """The month of a moment."""
        return month_of(now, zone_of(self.timezone))

    def label(self, now: datetime) -> str:
        """What that month is called: `2026-11`."""
        return label_of(now, self.timezone)

    def prices(self, label: str) -> Prices:
        """Those of a month; before the first table was set nothing has a price."""
        known = [first for first in self.tables if first <= label]
        return self.tables[max(known)] if known else NO_PRICES

    def with_prices(self, prices: Prices, now: datetime, timezone: str) -> PriceBook:
        """With other prices from the present month on. Raises InvalidInput for what is no time zone."""
        zone_of(timezone)
        book = replace(self, timezone=timezone)
        label = book.label(now)
        earlier = {first: one for first, one in self.tables.items() if first < label}
        return replace(book, tables={**earlier, label: prices})


def label_of(moment: datetime, timezone: str) -> str:
    """The month of a moment in a place: `2026-11`."""
    return f"{moment.astimezone(zone_of(timezone)):%Y-%m}"


def parse_book(written: Mapping[str, object] | None) -> PriceBook:
    """As `write_book` has written it; None: nothing was ever set."""
    if written is None:
        return PriceBook()
    tables: Mapping[str, Mapping[str, Written]] = written["tables"]  # type: ignore[assignment]
    return PriceBook(str(written["timezone"]), {first: parse_prices(one) for first, one in tables.items()})


def write_book(book: PriceBook) -> dict[str, object]:
    """As it is stored."""
    return {"timezone": book.timezone, "tables": {first: write_prices(one) for first, one in book.tables.items()}}
