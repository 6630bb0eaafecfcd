"""Amounts people write mean exactly what they say, and no arithmetic ever loses or invents any."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madang.domain.errors import InvalidSlots
from madang.domain.slots import MAX_AMOUNT, Slots, Unit, format_amount, parse_amount, unit_of

_KINDS = ("cpu", "mem", "cuda.shares", "rocm.shares", "cuda.device", "rocm.device", "tpu.device")
_amounts = st.one_of(
    st.integers(0, MAX_AMOUNT),
    st.integers(0, 5000),
    # What people have: some megabytes, halves of gigabytes.
    st.builds(lambda count, power: min(count * 1024**power // 4, MAX_AMOUNT), st.integers(0, 4096), st.integers(0, 5)),
)
_slots = st.dictionaries(st.sampled_from(_KINDS), st.integers(0, MAX_AMOUNT // 2), max_size=4).map(Slots)


@given(st.sampled_from(_KINDS), _amounts)
def test_what_is_shown_is_read_back_exactly(name: str, amount: int) -> None:
    assert parse_amount(name, format_amount(name, amount)) == amount


@given(st.sampled_from(_KINDS), _amounts)
def test_an_integer_already_is_in_the_base_unit(name: str, amount: int) -> None:
    assert parse_amount(name, amount) == amount


@pytest.mark.parametrize(
    ("name", "written", "amount"),
    [
        ("cpu", "2", 2000),
        ("cpu", "0.5", 500),
        ("cpu", "500m", 500),
        ("cpu", " 1.250 ", 1250),
        ("cuda.shares", "0.25", 250),
        ("mem", "8g", 8 << 30),
        ("mem", "8G", 8 << 30),
        ("mem", "8GiB", 8 << 30),
        ("mem", "8gb", 8 << 30),
        ("mem", "1.5g", 3 << 29),
        ("mem", "512 m", 512 << 20),
        ("mem", "100", 100),
        ("mem", "100b", 100),
        ("mem", "0.5k", 512),
        ("cuda.device", "3", 3),
        ("cuda.device", "0", 0),
        ("mem", str(MAX_AMOUNT), MAX_AMOUNT),
    ],
)
def test_the_ways_people_write_amounts(name: str, written: str, amount: int) -> None:
    assert parse_amount(name, written) == amount


@pytest.mark.parametrize(
    ("name", "amount", "written"),
    [
        ("cpu", 500, "0.5"),
        ("cpu", 2000, "2"),
        ("cpu", 1, "0.001"),
        ("mem", 8 << 30, "8g"),
        ("mem", 3 << 29, "1.5g"),
        ("mem", 1000, "1000"),
        ("mem", 0, "0"),
        ("cuda.device", 2, "2"),
    ],
)
def test_amounts_are_shown_the_way_people_write_them(name: str, amount: int, written: str) -> None:
    assert format_amount(name, amount) == written


_BAD_EVERYWHERE = [
    "",
    " ",
    "abc",
    "-1",
    "+1",
    "1e3",
    "1e999999999",
    "inf",
    "nan",
    "٣",  # a digit, but not one of ours
    "²",
    "1_000",
    "1,5",
    "0x10",
    "1.",
    ".5",
    "1.2.3",
    "1 2",
    "9" * 19 + "9",
    "9" * 5000,
    str(MAX_AMOUNT + 1) + "1",
    "1\n2",
    "1\0",
]


@pytest.mark.parametrize("name", _KINDS)
@pytest.mark.parametrize("written", _BAD_EVERYWHERE, ids=lambda text: ascii(text)[:24])
def test_nonsense_is_refused_with_the_name_of_the_slot(name: str, written: str) -> None:
    with pytest.raises(InvalidSlots, match=rf"^{name}: ") as refused:
        parse_amount(name, written)
    assert len(refused.value.message) < 200


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("cpu", "0.0001"),
        ("cpu", "0.5m"),
        ("cuda.shares", "0.3333"),
        ("mem", "0.5"),
        ("mem", "1.1g"),
        ("cpu", "1.0000000000000000000000000000000000001"),
        ("mem", "4.0000000000000000000000000000000001k"),
    ],
)
def test_what_is_finer_than_the_base_unit_is_refused_rather_than_rounded(name: str, written: str) -> None:
    with pytest.raises(InvalidSlots, match=rf"^{name}: .*finer"):
        parse_amount(name, written)


@pytest.mark.parametrize(
    ("name", "written"), [("cpu", "8g"), ("cuda.device", "0.5"), ("cuda.device", "500m"), ("mem", "1e")]
)
def test_a_suffix_of_another_kind_is_refused(name: str, written: str) -> None:
    with pytest.raises(InvalidSlots, match=rf"^{name}: cannot read"):
        parse_amount(name, written)


@pytest.mark.parametrize("name", _KINDS)
@pytest.mark.parametrize(
    "value",
    [True, False, None, 1.5, b"1", -1, MAX_AMOUNT + 1, 10**5000, -(10**5000)],
    ids=lambda value: str(type(value)),
)
def test_other_values_are_refused_with_the_name_of_the_slot(name: str, value: object) -> None:
    with pytest.raises(InvalidSlots, match=rf"^{name}: ") as refused:
        parse_amount(name, cast(int, value))
    assert len(refused.value.message) < 200


@pytest.mark.parametrize(
    "name",
    ["", "CPU", "cpu ", "cpu\n", "1cpu", "a.b.c", "cuda.", ".device", "ｃｐｕ", "a" * 65, "a" * 10000, "x y", "a/b"],
)
def test_what_is_no_slot_is_refused(name: str) -> None:
    with pytest.raises(InvalidSlots, match="not a slot name") as refused:
        parse_amount(name, "1")
    assert len(refused.value.message) < 200


def test_slots_of_device_plugins_are_counts() -> None:
    assert unit_of("npu.device-x2") is Unit.COUNT


@given(_slots, _slots)
def test_adding_and_taking_away_again_changes_nothing(one: Slots, other: Slots) -> None:
    assert one + other == other + one
    assert (one + other) - other == one


@given(_slots, _slots)
def test_taking_away_works_exactly_when_there_is_enough(one: Slots, other: Slots) -> None:
    if one.covers(other):
        left = one - other
        assert all(amount > 0 for amount in left.values())
        assert left + other == one
    else:
        with pytest.raises(InvalidSlots, match="cannot take"):
            one - other


@given(_slots)
def test_every_amount_covers_itself_and_nothing(one: Slots) -> None:
    assert one.covers(one)
    assert one.covers(Slots())
    assert one - one == Slots()


def test_too_little_names_the_slot_and_both_amounts() -> None:
    with pytest.raises(InvalidSlots, match=r"^mem: cannot take 2g from 1.5g\.$"):
        Slots.parse({"mem": "1.5g"}) - Slots.parse({"mem": "2g"})


@pytest.mark.parametrize("negative", [{"cpu": -1}, {"mem": -1}])
def test_a_sum_below_zero_is_an_error(negative: dict[str, int]) -> None:
    with pytest.raises(InvalidSlots, match="negative"):
        Slots({"cpu": 0}) + negative
    with pytest.raises(InvalidSlots, match="negative"):
        Slots(negative)


def test_a_sum_larger_than_any_machine_is_an_error() -> None:
    with pytest.raises(InvalidSlots, match=r"^mem: .*larger"):
        Slots({"mem": MAX_AMOUNT}) + Slots({"mem": 1})


def test_zeros_are_as_good_as_nothing() -> None:
    assert Slots({"cpu": 0}) == Slots()
    assert hash(Slots({"cpu": 1000, "mem": 0})) == hash(Slots({"cpu": 1000}))
    assert Slots({"cpu": 1000}).amount("mem") == 0
    assert "mem" not in Slots({"mem": 0})
    assert dict(Slots.parse({"mem": "1k", "cpu": "1"})) == {"cpu": 1000, "mem": 1024}


def test_people_read_one_line() -> None:
    assert Slots.parse({"mem": "8g", "cpu": "0.5", "cuda.device": 0}).human() == "cpu 0.5, mem 8g"
    assert Slots().human() == "nothing"
