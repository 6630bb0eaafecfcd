"""Whether what a month allows is used up: budgets of projects, and GPU-hours of policies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.repositories import closures, ledger
from madang.db.repositories.closures import Closed, Holder
from madang.db.repositories.ledger import Whose
from madang.db.rows import LiveRow, SessionRow
from madang.domain.budgets import StopRule
from madang.domain.devices import claim_of, device_word
from madang.domain.errors import BudgetSpent
from madang.domain.limits import Rule, check_gpu_hours
from madang.domain.usage import Spending, cost
from madang.domain.why import Why, WhyCode


async def require_means(connection: AsyncConnection, row: SessionRow, rules: Iterable[Rule], now: datetime) -> None:
    """Whether a session may be created this month. Raises BudgetSpent, LimitExceeded."""
    limited = [one for one in rules if one.limits.gpu_hours is not None] if _asks_gpus(row) else []
    rule = await closures.budget(connection, row.project_id)
    if not limited and (rule is None or rule.stop is StopRule.NONE):
        return
    book = await ledger.book(connection)
    period = book.month(now)
    for one in limited:
        found = await ledger.totals(connection, period, now, _whose(row, one))
        check_gpu_hours(one, ledger.together(found).gpu_hours())
    if rule is not None and rule.stop is not StopRule.NONE:
        found = await ledger.totals(connection, period, now, Whose(project_id=row.project_id))
        prices = book.prices(book.label(now))
        if rule.budget.standing(cost(ledger.together(found), prices)) is Spending.SPENT:
            raise BudgetSpent(
                f"Project {row.project} has spent its budget of {rule.budget.amount:f} {prices.currency} for this "
                "month. Wait for the next month, use another project, or ask an administrator for a larger budget."
            )


def closed_for(row: LiveRow, closed: Closed) -> Why | None:
    """Why a session may not start for now; None when it may."""
    if not closed:
        return None
    holders = (
        Holder("member", row.owner_id, row.project_id),
        Holder("user", row.owner_id),
        Holder("project", row.project_id),
        Holder("domain", row.domain_id),
    )
    for whys in map(closed.get, holders):
        for why in whys or ():
            if why.code is not WhyCode.GPU_HOURS or _asks_gpus(row):
                return why
    return None


def _asks_gpus(row: SessionRow | LiveRow) -> bool:
    models: Sequence[str] = row.models
    claim = claim_of(row.slots, models)
    return claim is not None and device_word(claim.kind) == "GPU"


def _whose(row: SessionRow, rule: Rule) -> Whose:
    return Whose(
        user_id=row.owner_id if rule.on in ("user", "member") else None,
        project_id=row.project_id if rule.on in ("project", "member") else None,
        domain_id=row.domain_id if rule.on == "domain" else None,
    )
