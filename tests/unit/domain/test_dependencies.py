"""Circles among sessions that wait for each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from madang.domain.dependencies import find_cycle

NAMES = st.sampled_from("abcdef")


def test_a_circle_is_named_in_order() -> None:
    assert find_cycle({"d": ["a"], "a": ["b"], "b": ["x", "c"], "c": ["a"]}) == ("a", "b", "c")
    assert find_cycle({"a": ["a"]}) == ("a",)


def test_many_ways_to_one_session_are_no_circle() -> None:
    assert find_cycle({"a": ["b", "c"], "b": ["d"], "c": ["d"]}) == ()
    assert find_cycle({}) == ()


def test_a_long_chain_is_looked_through() -> None:
    chain = {str(number): [str(number + 1)] for number in range(50_000)}
    assert find_cycle(chain) == ()
    assert len(find_cycle({**chain, "50000": ["0"]})) == 50_001


@given(st.dictionaries(NAMES, st.lists(NAMES, max_size=3)))
def test_what_is_found_is_a_circle_and_without_one_somebody_waits_for_nobody(waits_for: dict[str, list[str]]) -> None:
    found = find_cycle(waits_for)
    if found:
        assert all(after in waits_for[name] for name, after in zip(found, (*found[1:], found[0]), strict=True))
        return
    left = {name: set(after) & waits_for.keys() for name, after in waits_for.items()}
    while left:  # without a circle everybody's turn comes
        free = {name for name, after in left.items() if not after & left.keys()}
        assert free
        left = {name: after for name, after in left.items() if name not in free}
