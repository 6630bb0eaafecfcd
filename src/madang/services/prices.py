"""What slots and devices cost."""

from __future__ import annotations

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, ledger, site
from madang.domain.budgets import PriceBook, write_book
from madang.domain.ids import Clock
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.domain.usage import Written, parse_prices, write_prices
from madang.schemas.money import PriceTable


class PriceService:
    """Everybody may see prices; administrators set them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def get(self, caller: Caller) -> PriceTable:
        """Those of the present month."""
        caller.require_scope(Right.CLUSTER_SEE)
        return self._view(await self._database.read(ledger.book))

    async def put(self, caller: Caller, table: PriceTable) -> PriceTable:
        """Set those of the present month, as a whole, and of all that follow. Raises InvalidInput, InvalidSlots."""
        caller.require(Right.PRICE_CHANGE)
        written: dict[str, Written] = {
            "currency": table.currency,
            "digits": table.digits,
            "slots": table.slots,
            "models": table.models,
        }
        prices, now = parse_prices(written), self._clock.now()

        async def save(transaction: Transaction) -> PriceBook:
            before = await ledger.lock_book(transaction)
            after = before.with_prices(prices, now, table.timezone)
            await site.put(transaction, ledger.PRICES, write_book(after), now)
            if after.timezone != before.timezone:
                await ledger.reckon(transaction, after.timezone, after.month(now).since)
            values = [{**write_prices(one.prices(one.label(now))), "timezone": one.timezone} for one in (before, after)]
            target = audit.Target(ledger.PRICES, ledger.PRICES)
            await audit.record(transaction, caller, "price.set", target, now, before=values[0], after=values[1])
            return after

        return self._view(await self._database.transaction(save, "price.set"))

    def _view(self, book: PriceBook) -> PriceTable:
        label = book.label(self._clock.now())
        prices = book.prices(label)
        return PriceTable(
            currency=prices.currency,
            digits=prices.digits,
            slots={slot: f"{price:f}" for slot, price in sorted(prices.slots.items())},
            models={model: f"{price:f}" for model, price in sorted(prices.models.items())},
            timezone=book.timezone,
            since=max((first for first in book.tables if first <= label), default=None),
        )
