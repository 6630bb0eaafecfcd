"""Money of the synchronous client; what each method does and raises is written at the asynchronous one."""

from __future__ import annotations

from madang.schemas.money import Budget, PriceTable, Spending
from madang.sdk._bridge import Bridge
from madang.sdk.money import AsyncBudgets, AsyncPrices


class Prices:
    """What slots and devices cost."""

    def __init__(self, prices: AsyncPrices, bridge: Bridge) -> None:
        self._prices = prices
        self._bridge = bridge

    def get(self) -> PriceTable:
        """Those of the present month."""
        return self._bridge.run(self._prices.get())

    def set(self, table: PriceTable) -> PriceTable:
        """Set all of them, for the whole of the present month and those that follow."""
        return self._bridge.run(self._prices.set(table))


class Budgets:
    """What projects may spend in a month."""

    def __init__(self, budgets: AsyncBudgets, bridge: Bridge) -> None:
        self._budgets = budgets
        self._bridge = bridge

    def get(self, project: str) -> Spending:
        """What it has spent in the present month, and its budget."""
        return self._bridge.run(self._budgets.get(project))

    def set(self, project: str, budget: Budget) -> Spending:
        """Give it a budget."""
        return self._bridge.run(self._budgets.set(project, budget))

    def remove(self, project: str) -> None:
        """Let it have none any more."""
        self._bridge.run(self._budgets.remove(project))
