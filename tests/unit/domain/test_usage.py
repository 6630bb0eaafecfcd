"""Usage is exact: however it is cut and summed, no second is lost and none counts twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madang.domain.calendar import zone_of
from madang.domain.errors import InvalidInput
from madang.domain.usage import (
    Budget,
    By,
    Model,
    Period,
    Prices,
    Span,
    Spending,
    Usage,
    Written,
    cost,
    cut,
    month,
    month_of,
    months,
    parse_prices,
    rounded,
    used,
    used_by,
    write_prices,
)

# Clocks that change by an hour, by half an hour, at midnight, and not at all.
ZONES = ("UTC", "Asia/Seoul", "Europe/Berlin", "Australia/Lord_Howe", "America/Asuncion", "America/Havana")
A100, H100, TPU = Model("cuda", "A100"), Model("cuda", "H100"), Model("tpu", "v4")
GIB = 2**30

_times = st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
_zones = st.sampled_from(ZONES).map(zone_of)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    since = draw(_times)
    return Span(
        draw(st.sampled_from(["s1", "s2", "s3"])),
        draw(st.sampled_from(["kim", "lee"])),
        draw(st.sampled_from(["vision", "robots"])),
        draw(st.sampled_from(["snu", "kaist"])),
        since,
        since + draw(st.timedeltas(timedelta(0), timedelta(days=100))),
        draw(st.dictionaries(st.sampled_from(["cpu", "mem"]), st.integers(0, 2**40))),
        draw(st.dictionaries(st.sampled_from([A100, H100, TPU]), st.integers(0, 8000))),
    )


@given(st.lists(spans(), max_size=5), _times)
def test_cutting_everything_at_any_moment_changes_no_sum(some: list[Span], moment: datetime) -> None:
    early, late = Period(datetime.min.replace(tzinfo=UTC), moment), Period(moment, datetime.max.replace(tzinfo=UTC))
    parts = [part for one in some for period in (late, early) if (part := cut(one, period)) is not None]
    assert used(parts) == used(some) == _sum([used(some, early), used(some, late)])
    assert all(early.since <= one.since <= one.until <= moment for one in parts if one.since < moment)


@given(st.lists(spans(), max_size=5), _zones)
def test_months_add_up_to_the_whole_wherever_clocks_change(some: list[Span], zone: tzinfo) -> None:
    since = min((one.since for one in some), default=datetime(2020, 1, 1, tzinfo=UTC))
    until = max((one.until for one in some), default=since)
    known = list(months(since, until, zone))
    assert _sum([used(some, one) for one in known]) == used(some)
    if known:
        assert known[0].since <= since
        assert known[-1].until >= until


@given(_times, _zones)
def test_months_follow_each_other_without_a_gap_and_begin_at_midnight(moment: datetime, zone: tzinfo) -> None:
    known = list(months(moment, moment + timedelta(days=400), zone))
    assert known[0] == month_of(moment, zone)
    assert all(one.until == other.since for one, other in pairwise(known))
    for one in known:
        local = one.since.astimezone(zone)
        assert local.day == 1
        assert local.hour in (0, 1), "1 where the clock skips midnight"


@given(st.lists(spans(), max_size=6), st.randoms(use_true_random=False))
def test_the_order_does_not_matter_and_every_grouping_adds_up(some: list[Span], random: Random) -> None:
    mixed = list(some)
    random.shuffle(mixed)
    assert used(mixed) == used(some)
    for by in get_args(By):
        found = used_by(mixed, by)
        assert found == used_by(some, by)
        assert list(found) == sorted(found)
        assert _sum(list(found.values())) == used(some)


def _sum(parts: Sequence[Usage]) -> Usage:
    slots: dict[str, int] = {}
    devices: dict[Model, int] = {}
    for one in parts:
        for slot, amount in one.slots.items():
            slots[slot] = slots.get(slot, 0) + amount
        for model, amount in one.devices.items():
            devices[model] = devices.get(model, 0) + amount
    return Usage(slots, devices)


def _at(day: int, hour: int = 0, second: int = 0, number: int = 11) -> datetime:
    return datetime(2026, number, day, hour, 0, second, tzinfo=UTC)


def test_a_script_of_sessions_comes_to_what_one_computes_by_hand() -> None:
    train = Span("train", "kim", "vision", "snu", _at(1), _at(1, 2), {"cpu": 4000, "mem": 8 * GIB}, {A100: 2000})
    notes = Span("notes", "lee", "vision", "snu", _at(1, 1), _at(1, 1, 30), {"cpu": 500}, {H100: 300})
    again = replace(train, since=_at(2), until=_at(2, 0, 1))
    found = used_by([train, notes, again], "session")
    assert found["train"].slot_seconds() == {
        "cpu": 4000 * 7201,
        "mem": 8 * GIB * 7201,
        "cuda.shares": 2000 * 7201,
    }
    assert found["notes"].slot_seconds() == {"cpu": 500 * 30, "cuda.shares": 300 * 30}
    assert used_by([train, notes, again], "project")["vision"].slot_seconds()["cuda.shares"] == 2000 * 7201 + 300 * 30
    assert used([train, notes], Period(_at(1, 1), _at(1, 1, 10))).device_hours() == {
        A100: Fraction(2 * 10, 3600),
        H100: Fraction(3 * 10, 10 * 3600),
    }


def test_a_month_is_that_of_the_place_whose_clock_changes() -> None:
    berlin, seoul = zone_of("Europe/Berlin"), zone_of("Asia/Seoul")
    october = month(2026, 10, berlin)
    assert october.until - october.since == timedelta(days=31, hours=1)
    assert month(2026, 12, seoul) == Period(_at(30, 15), datetime(2026, 12, 31, 15, tzinfo=UTC))
    assert month(2017, 10, zone_of("America/Asuncion")).since == datetime(2017, 10, 1, 4, tzinfo=UTC), (
        "no clock there has shown that midnight"
    )


def test_a_clock_that_was_wrong_gives_nobody_usage_below_nothing() -> None:
    assert used([Span("s", "kim", "p", "d", _at(2), _at(1), {"cpu": 1000}, {A100: 1000})]) == Usage()
    assert used_by([Span("s", "kim", "p", "d", _at(1), _at(2), {"cpu": 0})], "user") == {}


def test_gpu_hours_are_of_whole_gpus_of_every_kind_and_of_nothing_else() -> None:
    devices = {A100: 500, Model("rocm", "MI300"): 2000, TPU: 4000}
    one = Span("s", "kim", "p", "d", _at(1), _at(1, 3), {"cpu": 1000}, devices)
    assert used([one]).gpu_hours() == Fraction(15, 2)


def test_a_model_has_its_own_price_and_others_that_of_their_kind() -> None:
    prices = parse_prices(
        {
            "currency": "KRW",
            "digits": 0,
            "slots": {"cpu": "10", "mem": "2.5", "cuda.device": 900, "fpga": 7},
            "models": {"a100": "2500"},
        }
    )
    one = Span("s", "kim", "p", "d", _at(1), _at(1, 2), {"cpu": 500, "mem": 4 * GIB, "fpga": 1, "other": 3})
    assert cost(used([one]), prices) == 10 + 20 + 14
    assert cost(used([replace(one, slots={}, devices={A100: 500, H100: 2000, TPU: 9})]), prices) == 2500 + 3600


@given(st.lists(spans(), max_size=4), _times)
def test_the_cost_of_parts_is_the_cost_of_the_whole(some: list[Span], moment: datetime) -> None:
    prices = Prices("EUR", 2, {"cpu": Decimal("0.03"), "cuda.shares": Decimal("1.7")}, {"H100": Decimal("3.33")})
    early, late = Period(datetime.min.replace(tzinfo=UTC), moment), Period(moment, datetime.max.replace(tzinfo=UTC))
    assert cost(used(some, early), prices) + cost(used(some, late), prices) == cost(used(some), prices)


def test_prices_are_read_back_as_they_were_written() -> None:
    prices = Prices("points", 3, {"cpu": Decimal("0.000001"), "cuda.shares": Decimal("12")}, {"A100": Decimal("1.50")})
    assert parse_prices(write_prices(prices)) == prices


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"currency": ""}, "currency: name one"),
        ({"slots": {}}, "currency: name one"),
        ({"currency": "KRW", "digits": 9}, "digits: write how many"),
        ({"currency": "KRW", "slots": {"cpu": "-1"}}, "'-1' is no price for cpu"),
        ({"currency": "KRW", "slots": {"CPU!": "1"}}, "is not a slot name"),
        ({"currency": "KRW", "slots": "cheap"}, "slots: write a price for each"),
        ({"currency": "KRW", "slots": {"cuda.device": 1, "cuda.shares": 2}}, "give one price for both"),
        ({"currency": "KRW", "models": {"A100": "NaN"}}, "'NaN' is no price for A100"),
        ({"currency": "KRW", "price": 1}, "'price' is no part of a price table"),
    ],
)
def test_a_price_table_that_cannot_be_read_is_told(written: Mapping[str, Written], says: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_prices(written)
    assert says in raised.value.message


@pytest.mark.parametrize(
    ("amount", "digits", "told"),
    [("0.005", 2, "0.01"), ("0.0049", 2, "0.00"), ("1234.5", 0, "1235"), ("0.1", 3, "0.100")],
)
def test_costs_are_rounded_for_people(amount: str, digits: int, told: str) -> None:
    assert f"{rounded(Fraction(amount), digits):f}" == told


def test_a_budget_warns_at_80_percent_and_is_spent_at_100() -> None:
    budget = Budget(Decimal("1000"))
    assert budget.standing(Fraction("799.99")) is Spending.WITHIN
    assert budget.standing(Fraction(800)) is Spending.WARNING
    assert budget.standing(Fraction("999.99")) is Spending.WARNING
    assert budget.standing(Fraction(1000)) is Spending.SPENT
    assert budget.share(Fraction(250)) == Fraction(1, 4)
    assert Budget(Decimal(0)).standing(Fraction(0)) is Spending.SPENT
