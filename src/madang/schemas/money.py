"""Wire models of prices, budgets, and how long the audit is kept."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from madang.schemas.api import TimeZone
from madang.schemas.base import Wire

Price = Annotated[str, Field(max_length=20)]  # such as "2500" or "0.35"
Money = Annotated[str, Field(max_length=30)]


class PriceTable(Wire):
    """What an hour costs: of a core, a GiB of memory, a piece; of a whole device as `cuda.device`, or by model."""

    currency: Annotated[str, Field(max_length=12)] = "points"
    digits: int = Field(default=2, ge=0, le=6)  # of costs, behind the point
    slots: dict[str, Price] = Field(default={}, max_length=64)
    models: dict[str, Price] = Field(default={}, max_length=256)  # instead of the price of their kind
    timezone: TimeZone = "UTC"  # of the place whose months are counted
    since: str | None = None  # the first month for which it counts, such as 2026-11; null: none was set yet


class Budget(Wire):
    """What a project may spend in a month, and what happens then."""

    amount: Money  # in the currency of the prices
    warn_percent: int = Field(default=80, ge=1, le=100)
    stop: Literal["none", "no-new-sessions", "stop-running"] = "no-new-sessions"
    grace_seconds: float = Field(default=60, ge=0, le=3600, allow_inf_nan=False)  # for sessions that are stopped


class Spending(Wire):
    """What a project has spent in the present month, what its sessions hold now included."""

    project: str  # its path
    since: datetime
    until: datetime
    currency: str
    spent: str
    budget: Budget | None
    percent: float | None  # of the budget
    standing: Literal["within", "warning", "spent"] | None


class Retention(Wire):
    """How many days the audit is kept; 0: for ever."""

    days: float = Field(ge=0, le=36525, allow_inf_nan=False)
