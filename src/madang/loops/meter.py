"""The meter: reckons what this month has cost and used so far, tells when a budget nears its end, and stops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import closures, ledger, moves, sessions
from madang.db.repositories.closures import Allowance, Budgeted, Holder
from madang.db.repositories.ledger import Total
from madang.domain.budgets import PriceBook, StopRule
from madang.domain.ids import Clock
from madang.domain.session import SessionState
from madang.domain.usage import Period, Prices, Span, Spending, Usage, cost, rounded, used
from madang.domain.why import Why, WhyCode

_log = structlog.get_logger(__name__)

_LONGEST_SLEEP: Final = 30.0
_SHORTEST_SLEEP: Final = 0.5
_KEPT: Final = timedelta(days=100)  # totals; the spans themselves stay
_STOPPABLE: Final = frozenset({SessionState.SCHEDULED, SessionState.PREPARING, SessionState.RUNNING})
_EVENTS: Final = {Spending.WARNING: "budget.warning", Spending.SPENT: "budget.reached"}


@dataclass(slots=True)
class _Reading:
    """What has to be done, and after how many seconds to look again at the latest."""

    period: Period
    closed: dict[Holder, list[Why]] = field(default_factory=dict)
    notices: list[tuple[Budgeted, Spending, Fraction]] = field(default_factory=list)
    stop: dict[str, Budgeted] = field(default_factory=dict)  # by the id of the project
    rest: float = _LONGEST_SLEEP


class MeterLoop:
    """Several managers may run it at once: what it writes is the same whoever does, and is told once."""

    name = "meter"
    topics: Sequence[str] = ("site", "project.budget", "policy.changed", "policy.laid", "project.member")

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._month: datetime | None = None
        self.every_seconds = _LONGEST_SLEEP

    async def step(self) -> None:
        """Reckon, tell, close and open, and stop."""
        now = self._clock.now()
        book, budgets, allowances, before = await self._database.read(_read_rules)
        period = book.month(now)
        reading = _Reading(period)
        if budgets or allowances:
            totals = await self._database.read(lambda connection: ledger.totals(connection, period, now))
            self._look_at_budgets(reading, budgets, totals, book.prices(book.label(now)))
            _look_at_hours(reading, allowances, totals)
        await self._tell(reading, book, now)
        if reading.closed != before:
            await self._close(reading, now)
        if reading.stop:
            await self._stop(reading.stop, now)
        if self._month != period.since:
            before_month = period.since - _KEPT
            await self._database.transaction(lambda one: ledger.forget(one, before_month), "meter.forget")
            self._month = period.since
        rest = min(reading.rest, (period.until - now).total_seconds(), _LONGEST_SLEEP)
        self.every_seconds = max(rest, _SHORTEST_SLEEP)

    async def close(self) -> None:
        """Holds nothing."""

    def _look_at_budgets(
        self, reading: _Reading, budgets: Iterable[Budgeted], totals: Iterable[Total], prices: Prices
    ) -> None:
        by_project: dict[str, list[Total]] = {}
        for one in totals:
            by_project.setdefault(one.project_id, []).append(one)
        for project in budgets:
            mine = by_project.get(project.id, [])
            budget = project.rule.budget
            spent = cost(ledger.together(mine), prices)
            standing = budget.standing(spent)
            if standing is not Spending.WITHIN:
                reading.notices.append((project, standing, spent))
            if standing is Spending.SPENT and project.rule.stop is not StopRule.NONE:
                values = {
                    "project": project.path,
                    "amount": f"{budget.amount:f} {prices.currency}",
                    "until": _day(reading.period.until),
                }
                reading.closed.setdefault(Holder("project", project.id), []).append(Why(WhyCode.BUDGET, values))
                if project.rule.stop is StopRule.STOP_RUNNING:
                    reading.stop[project.id] = project
            rate = cost(_a_second(mine), prices)
            whole = Fraction(budget.amount)
            for edge in (whole * budget.warn_percent / 100, whole):
                reading.rest = min(reading.rest, _until(edge, spent, rate))

    async def _tell(self, reading: _Reading, book: PriceBook, now: datetime) -> None:
        if not reading.notices:
            return
        since = reading.period.since
        told = await self._database.read(lambda connection: closures.noticed(connection, since))
        news = [one for one in reading.notices if (one[0].id, one[1].value) not in told]
        if not news:
            return
        prices = book.prices(book.label(now))

        async def write(transaction: Transaction) -> None:
            for project, standing, spent in news:
                if await closures.notice(transaction, project.id, since, standing):
                    data = {
                        "project": project.path,
                        "amount": f"{project.rule.budget.amount:f}",
                        "spent": f"{rounded(spent, prices.digits):f}",
                        "currency": prices.currency,
                        "month": book.label(now),
                    }
                    for owner in await closures.owners(transaction.connection, project.id, now):
                        transaction.emit(_EVENTS[standing], now, {**data}, owner_id=owner)

        await self._database.transaction(write, "meter.tell")

    async def _close(self, reading: _Reading, now: datetime) -> None:
        async def write(transaction: Transaction) -> None:
            await closures.hold(transaction)
            if await closures.every(transaction.connection) != reading.closed:
                await closures.write(transaction, reading.closed, now)

        await self._database.transaction(write, "meter.close")

    async def _stop(self, spent: Mapping[str, Budgeted], now: datetime) -> None:
        due = await self._database.read(lambda connection: closures.running(connection, list(spent)))
        if not due:
            return

        async def stop(transaction: Transaction) -> None:
            rows = await sessions.lock_all(transaction, due)
            changes = []
            for row in rows.values():
                project = spent.get(row.project_id)
                if project is not None and row.state in _STOPPABLE:
                    reason = f"project {project.path} has spent its budget for this month"
                    after = moves.begin_stop(row, "budget", now, project.rule.grace_seconds, reason)
                    changes.append(moves.Change(row, after, (after,)))
            await moves.save(transaction, changes, now)

        await self._database.transaction(stop, "meter.stop")
        _log.info("budget_spent", sessions=len(due))


async def _read_rules(
    connection: AsyncConnection,
) -> tuple[PriceBook, list[Budgeted], list[Allowance], dict[Holder, list[Why]]]:
    return (
        await ledger.book(connection),
        await closures.budgets(connection),
        await closures.allowances(connection),
        await closures.every(connection),
    )


def _look_at_hours(reading: _Reading, allowances: Iterable[Allowance], totals: Iterable[Total]) -> None:
    of: dict[Holder, list[Total]] = {}
    for one in totals:
        for holder in (
            Holder("member", one.user_id, one.project_id),
            Holder("user", one.user_id),
            Holder("project", one.project_id),
            Holder("domain", one.domain_id),
        ):
            of.setdefault(holder, []).append(one)
    for allowance in allowances:
        mine = of.get(allowance.holder, [])
        hours, most = ledger.together(mine).gpu_hours(), Fraction(allowance.hours)
        if hours >= most:
            values = {
                "subject": allowance.holder.kind,
                "name": f"{allowance.name} in {allowance.project}" if allowance.project else allowance.name,
                "hours": f"{allowance.hours:f}",
                "until": _day(reading.period.until),
            }
            reading.closed.setdefault(allowance.holder, []).append(Why(WhyCode.GPU_HOURS, values))
        reading.rest = min(reading.rest, _until(most, hours, _a_second(mine).gpu_hours()))


def _a_second(totals: Iterable[Total]) -> Usage:
    """What one second more of what is held now adds."""
    begins = datetime.min
    period = Period(begins, begins + timedelta(seconds=1))
    held = [span for one in totals for span in one.holding]
    return used(Span("", "", "", "", period.since, period.until, one.slots, one.devices) for one in held)


def _until(edge: Fraction, now: Fraction, rate: Fraction) -> float:
    """Seconds until an edge that lies ahead is reached; endless where it is not."""
    return float((edge - now) / rate) if rate > 0 and now < edge else _LONGEST_SLEEP


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
