"""Prices and budgets, asynchronously."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from madang.domain.people import split_path
from madang.schemas.money import Budget, PriceTable, Spending
from madang.sdk._transport import API, JSON, Transport

_PRICES: Final = f"{API}/prices"


class AsyncPrices:
    """What slots and devices cost."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def get(self) -> PriceTable:
        """Those of the present month."""
        return await self._transport.get(PriceTable, _PRICES)

    async def set(self, table: PriceTable) -> PriceTable:
        """Set all of them, for the whole of the present month and those that follow. Raises InvalidInput."""
        body = table.model_dump_json().encode()
        response = await self._transport.call("PUT", _PRICES, body=body, headers=JSON)
        return self._transport.parse(PriceTable, response.content)


class AsyncBudgets:
    """What projects may spend in a month. A project is named by its path. Errors of all: Forbidden, NotFound."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def get(self, project: str) -> Spending:
        """What it has spent in the present month, and its budget."""
        return await self._transport.get(Spending, _path(project))

    async def set(self, project: str, budget: Budget) -> Spending:
        """Give it a budget. Raises InvalidInput."""
        body = budget.model_dump_json().encode()
        response = await self._transport.call("PUT", _path(project), body=body, headers=JSON)
        return self._transport.parse(Spending, response.content)

    async def remove(self, project: str) -> None:
        """Let it have none any more."""
        await self._transport.call("DELETE", _path(project))


def _path(project: str) -> str:
    domain, name = split_path(project)
    return f"{API}/domains/{quote(domain, safe='')}/projects/{quote(name, safe='')}/budget"
