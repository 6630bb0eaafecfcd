"""Containers get as many processors as they asked for, on the least used ones, and the same ones when asked again."""

from __future__ import annotations

import pytest

from madang.agent.processors import Processors


@pytest.mark.parametrize(("cpu", "count"), [(1, 1), (500, 1), (1000, 1), (1001, 2), (2000, 2), (3500, 4), (64_000, 4)])
def test_the_limit_is_rounded_up_and_held_to_what_there_is(cpu: int, count: int) -> None:
    chosen = Processors([0, 1, 2, 3]).choose("c", cpu)
    assert len(chosen) == count
    assert chosen == sorted(set(chosen))


def test_only_processors_that_may_be_used_are_given() -> None:
    assert Processors([3, 5, 9]).choose("c", 8000) == [3, 5, 9]


def test_containers_are_spread_over_the_processors() -> None:
    processors = Processors([0, 1, 2, 3])
    given = [processors.choose(f"c{number}", 1000)[0] for number in range(8)]
    assert sorted(given) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert sorted(given[:4]) == [0, 1, 2, 3]


def test_asked_again_the_answer_is_the_same() -> None:
    processors = Processors([0, 1])
    first = processors.choose("c", 1000)
    processors.choose("other", 1000)
    assert processors.choose("c", 1000) == first
    assert processors.choose("c", 2000) == first


def test_what_an_adopted_container_runs_on_counts_as_used() -> None:
    processors = Processors([0, 1])
    processors.take("adopted", [0])
    processors.take("adopted", [0])  # told twice
    assert processors.choose("c", 1000) == [1]
    assert processors.choose("d", 1000) == [0]


def test_given_back_processors_are_used_again() -> None:
    processors = Processors([0, 1])
    assert processors.choose("a", 1000) == [0]
    assert processors.choose("b", 1000) == [1]
    processors.give_back("a")
    processors.give_back("a")  # told twice
    processors.give_back("stranger")
    assert processors.choose("c", 1000) == [0]
    assert processors.choose("d", 1000) == [0]
