"""What projects have spent in the present month, and may spend."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, closures, ledger, projects
from madang.db.repositories.ledger import Whose
from madang.db.rows import ProjectRow
from madang.domain.budgets import BudgetRule, parse_budget, write_budget
from madang.domain.ids import Clock
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.domain.usage import cost, rounded
from madang.schemas.money import Budget, Spending


class BudgetService:
    """Owners see those of their projects; administrators set them. Errors of all: Forbidden, NotFound."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def get(self, caller: Caller, domain: str, name: str) -> Spending:
        """What a project has spent so far, with what its sessions hold now, and its budget if it has one."""

        async def read(connection: AsyncConnection) -> Spending:
            row = await projects.find(connection, caller, domain, name)
            caller.require(Right.BUDGET_SEE, project_id=row.id, domain_id=row.domain_id)
            return await self._spending(connection, row)

        return await self._database.read(read)

    async def put(self, caller: Caller, domain: str, name: str, budget: Budget) -> Spending:
        """Give a project a budget, which counts from the beginning of the present month. Raises InvalidInput."""
        return await self._set(caller, domain, name, parse_budget(budget.model_dump()))

    async def delete(self, caller: Caller, domain: str, name: str) -> None:
        """Let a project have no budget any more."""
        await self._set(caller, domain, name, None)

    async def _set(self, caller: Caller, domain: str, name: str, rule: BudgetRule | None) -> Spending:
        async def save(transaction: Transaction) -> Spending:
            row = await projects.lock(transaction, caller, domain, name)
            caller.require(Right.BUDGET_CHANGE, domain_id=row.domain_id)
            before = await closures.budget(transaction.connection, row.id)
            await closures.set_budget(transaction, row.id, rule)
            now = self._clock.now()
            transaction.emit("project.budget", now, {"project": row.path})
            target = audit.Target(row.id, row.path, row.domain_id)
            values = {"before": _values(before), "after": _values(rule)}
            await audit.record(transaction, caller, "project.budget", target, now, **values)
            return await self._spending(transaction.connection, row)

        return await self._database.transaction(save, "project.budget")

    async def _spending(self, connection: AsyncConnection, row: ProjectRow) -> Spending:
        now = self._clock.now()
        rule, book = await closures.budget(connection, row.id), await ledger.book(connection)
        period, prices = book.month(now), book.prices(book.label(now))
        found = await ledger.totals(connection, period, now, Whose(project_id=row.id))
        spent = cost(ledger.together(found), prices)
        return Spending(
            project=row.path,
            since=period.since,
            until=period.until,
            currency=prices.currency,
            spent=f"{rounded(spent, prices.digits):f}",
            budget=None if rule is None else Budget.model_validate(write_budget(rule)),
            percent=None if rule is None else float(rule.budget.share(spent) * 100),
            standing=None if rule is None else rule.budget.standing(spent).value,
        )


def _values(rule: BudgetRule | None) -> dict[str, object] | None:
    return None if rule is None else dict(write_budget(rule))
