"""Messages in English: prices, budgets, costs, and how long the audit is kept."""

from __future__ import annotations

from typing import Final

MESSAGES: Final[dict[str, str]] = {
    "price.help": "Prices: what an hour of slots and devices costs.",
    "price.ls": "Show the prices of the present month.",
    "price.set": "Change prices, for the whole of the present month and those that follow. For administrators.",
    "price.entries": "What an hour costs: cpu=10, mem=2 (a GiB), cuda.device=900, model.A100=2500; none removes one.",
    "price.currency": "What amounts are in, such as KRW or points.",
    "price.digits": "How many digits costs have behind the point.",
    "price.timezone": "Of which place the months are that budgets and GPU-hours count by, such as Asia/Seoul.",
    "price.none": "Nothing has a price.",
    "price.bad_entry": "'{written}' is no price; write one such as cpu=10, cuda.device=900 or model.A100=2500.",
    "price.of_month": "in {currency} an hour, months of {timezone}",
    "budget.help": "Set what a project may spend in a month, and what happens then. For administrators.",
    "budget.amount": "What it may spend in a month, in the currency of the prices; none: no budget any more.",
    "budget.warn": "Tell when so many percent of it are spent.",
    "budget.stop": "What happens when it is spent: nothing, no new sessions, or running ones are stopped, too.",
    "budget.grace": "Seconds that sessions which are stopped have to end by themselves.",
    "budget.spent_of": "{spent} of {amount} {currency} ({percent} %), then {stop}",
    "budget.spent": "{spent} {currency}",
    "audit.retention": "Show for how many days the audit is kept.",
    "audit.keep": "Keep the audit for so many days, 0 for ever. What is older is deleted.",
    "audit.days": "{days} days",
    "audit.for_ever": "for ever",
    "column.cost": "COST",
    "column.price": "PRICE",
    "column.this_month": "THIS MONTH",
    "column.kept": "KEPT",
}
