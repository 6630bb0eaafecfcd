"""Budgets and price books: what is read is what was written, and months that are over keep their prices."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from madang.domain.budgets import PriceBook, StopRule, parse_book, parse_budget, write_book, write_budget
from madang.domain.errors import InvalidInput
from madang.domain.usage import Prices


def _book() -> PriceBook:
    first = Prices("KRW", slots={"cpu": Decimal(10)})
    book = PriceBook().with_prices(first, datetime(2026, 11, 5, tzinfo=UTC), "UTC")
    return book.with_prices(Prices("KRW", slots={"cpu": Decimal(20)}), datetime(2027, 1, 31, tzinfo=UTC), "UTC")


def test_a_month_keeps_the_prices_that_it_ended_with() -> None:
    book = _book()
    prices = {month: book.prices(month).slots.get("cpu", 0) for month in ("2026-10", "2026-11", "2026-12", "2027-01")}
    assert prices == {"2026-10": 0, "2026-11": 10, "2026-12": 10, "2027-01": 20}


def test_prices_that_are_set_again_in_a_month_count_from_its_beginning() -> None:
    dearer = Prices("KRW", slots={"cpu": Decimal(30)})
    book = _book().with_prices(dearer, datetime(2027, 1, 31, 23, tzinfo=UTC), "UTC")
    assert book.prices("2027-01") == book.prices("2027-02") == dearer
    assert len(book.tables) == 2


def test_the_month_is_that_of_the_place() -> None:
    book = PriceBook("Asia/Seoul")
    late = datetime(2026, 11, 30, 15, 0, tzinfo=UTC)
    assert book.label(late) == "2026-12"
    assert book.month(late).since == late
    with pytest.raises(InvalidInput, match="not a time zone"):
        book.with_prices(Prices("KRW"), late, "Nowhere")


def test_what_is_written_is_read_back() -> None:
    assert parse_book(write_book(_book())) == _book()
    assert parse_book(None) == PriceBook()
    rule = parse_budget({"amount": "12.50", "warn_percent": 90, "stop": "stop-running", "grace_seconds": 5})
    assert (rule.budget.amount, rule.stop) == (Decimal("12.50"), StopRule.STOP_RUNNING)
    assert parse_budget(write_budget(rule)) == rule


@pytest.mark.parametrize(
    "wrong",
    [{"amount": "-1"}, {"amount": "1e3"}, {"amount": "1", "warn_percent": 0}, {"amount": "1", "stop": "all"}],
)
def test_what_is_no_budget_is_refused(wrong: dict[str, str | int | float]) -> None:
    with pytest.raises(InvalidInput):
        parse_budget(wrong)
