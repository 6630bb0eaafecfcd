"""The worth of free devices against plain arithmetic and against jobs drawn at random."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from madang.scheduling.columns import Amounts, DeviceColumns, NodeColumns
from madang.scheduling.demand import Demand
from madang.scheduling.placement.worth import Worth, codes_of
from madang.scheduling.snapshot import Device, Node, Request
from tests.unit.scheduling.worlds import gpus, part_of_gpu

PATIENCE = 0.97


def columns(*models: str) -> DeviceColumns:
    devices = tuple(Device(at, model) for at, model in enumerate(models))
    return NodeColumns.of([Node("n", {"cpu": 8}, devices={"cuda": devices})], []).devices["cuda"]


def worth(*asked: tuple[int, int], models: tuple[str, ...] = ("A100",)) -> Worth:
    """Of a demand for so many thousandths with so much CPU each."""
    rows = [Request(f"s{at}", {"cpu": cpu}, 0.0, claim=part_of_gpu(milli)) for at, (milli, cpu) in enumerate(asked)]
    return Worth("cuda", Demand.of(rows, ()), columns(*models), ["cpu"])


def value(one: Worth, codes: Amounts, cpu: int) -> float:
    """The worth of a node with these devices and so much CPU free."""
    free = np.array([[cpu]])
    level = one.level(free).item()
    return one.of(free, one.table[level, codes].sum(axis=1)).item()


def test_without_enough_slots_a_device_is_worth_what_those_fill_who_need_little() -> None:
    one = worth((200, 8), (300, 2))
    codes = np.array([[2001]])
    assert value(one, codes, 1) == 0
    little, plenty = value(one, codes, 2), value(one, codes, 100)
    only = worth((300, 2))
    assert 0 < little < value(only, codes, 2) < plenty


def test_a_device_is_worth_what_will_fit_on_it() -> None:
    half = PATIENCE * 500
    one = worth((500, 3))
    table = one.table[one.level(np.array([[3]])).item(), codes_of(columns("A100").model).item() :]
    assert table[0].tolist() == [0.0, 0.0]
    assert table[499].tolist() == [0.0, 0.0]
    assert table[500] == pytest.approx([half, PATIENCE * 3])
    assert table[999] == pytest.approx(table[500])
    assert table[1000] == pytest.approx([PATIENCE * (500 + half), PATIENCE * (3 + PATIENCE * 3)])


def test_the_table_is_the_mean_of_random_arrivals() -> None:
    sizes = [200, 300, 450, 810, 1000]
    table = worth(*((one, 1) for one in sizes)).table[-1, 1001:, 0]
    chance = random.Random(1)
    for free in (250, 500, 760, 1000):
        total, runs = 0.0, 20_000
        for _ in range(runs):
            left = free
            while left >= min(sizes) and chance.random() < PATIENCE:  # everything that comes may be the last
                one = chance.choice(sizes)
                if one <= left:
                    left -= one
            total += free - left
        assert table[free] == pytest.approx(total / runs, rel=0.02)


@given(
    st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 8)), min_size=1, max_size=5),
    st.lists(st.integers(0, 1000), min_size=1, max_size=4),
    st.integers(0, 20),
)
def test_worth_is_never_more_than_what_is_free(asked: list[tuple[int, int]], free: list[int], cpu: int) -> None:
    one = worth(*asked, models=("A100",) * len(free))
    codes = np.array([[1001 + amount for amount in free]])
    assert 0 <= value(one, codes, cpu) <= sum(free)


@given(
    st.tuples(st.integers(1, 1000), st.integers(0, 8)),
    st.lists(st.integers(0, 1000), min_size=1, max_size=4),
    st.integers(0, 20),
)
def test_worth_grows_with_the_slots_where_all_are_alike(asked: tuple[int, int], free: list[int], cpu: int) -> None:
    # Of several kinds, those who only come with more slots may take the place of what would have filled the device.
    one = worth(asked, models=("A100",) * len(free))
    codes = np.array([[1001 + amount for amount in free]])
    assert value(one, codes, cpu + 100) >= value(one, codes, cpu)


def test_several_whole_devices_count_where_they_are_together() -> None:
    rows = [Request("s", {"cpu": 2}, 0.0, claim=gpus(2))]
    one = Worth("cuda", Demand.of(rows, ()), columns("A100", "A100"), ["cpu"])
    both, single = np.array([[2001, 2001]]), np.array([[2001, 2000]])
    assert [value(one, codes, cpu) for codes, cpu in ((both, 2), (both, 1), (single, 2))] == [2000.0, 0.0, 0.0]


def test_a_device_is_worth_nothing_to_those_who_want_another_model() -> None:
    rows = [Request("s", {}, 0.0, claim=gpus(1, "a100"))]
    fill = Worth("cuda", Demand.of(rows, ()), columns("A100", "T4"), []).table[-1, :, 0]
    assert fill[1001 + 1000] > 0
    assert fill[2 * 1001 + 1000] == 0
