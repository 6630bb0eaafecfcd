"""Of several policies the strictest counts, and what exceeds one is told so that the user knows what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madang.domain.errors import InvalidInput, InvalidSlots, LimitExceeded
from madang.domain.limits import (
    KEYS,
    Asked,
    Limits,
    Rule,
    Written,
    check_counts,
    check_gpu_hours,
    check_request,
    in_use,
    parse_limits,
    strictest,
    write_limits,
)

_counts = st.none() | st.integers(0, 5)
_names = st.none() | st.frozensets(st.sampled_from(["python", "pytorch", "r"]))


def limits() -> st.SearchStrategy[Limits]:
    return st.builds(
        Limits,
        st.dictionaries(st.sampled_from(["cpu", "mem", "cuda.shares", "fpga"]), st.integers(0, 6000)),
        _counts,
        _counts,
        _counts,
        _counts,
        st.none() | st.integers(0, 2**62),
        st.none() | st.integers(1, 10**9),
        st.none() | st.integers(1, 10**9),
        _names,
        _names,
        st.none() | st.decimals(0, 10**6, places=3),
    )


def asks() -> st.SearchStrategy[Asked]:
    device = st.one_of(
        st.just(dict[str, int]()),
        st.builds(lambda count: {"cuda.device": count}, st.integers(0, 5)),
        st.builds(lambda milli: {"cuda.shares": milli}, st.sampled_from([300, 1000, 2000])),
    )
    return st.builds(
        lambda slots, gpu, **more: Asked({**slots, **gpu}, **more),
        st.dictionaries(st.sampled_from(["cpu", "mem"]), st.integers(0, 6000)),
        device,
        size=st.integers(1, 3),
        environment=st.sampled_from(["", "python", "r"]),
        group=st.sampled_from(["python", "pytorch"]),
        max_seconds=st.none() | st.floats(0.5, 10**9),
        idle_seconds=st.none() | st.integers(1, 10**9),
    )


def _passes(asked: Asked, *of: Limits) -> bool:
    try:
        check_request(asked, [Rule("p", "user", "kim", one) for one in of])
    except LimitExceeded:
        return False
    return True


@given(limits(), limits(), limits())
def test_neither_order_nor_repetition_matters_to_the_strictest(one: Limits, two: Limits, three: Limits) -> None:
    assert strictest(one, two) == strictest(two, one)
    assert strictest(strictest(one, two), three) == strictest(one, strictest(two, three)) == strictest(one, two, three)
    assert strictest(one, one) == strictest(one) == strictest(one, Limits()) == one
    assert strictest() == Limits()


@given(st.lists(limits(), max_size=4), asks())
@settings(max_examples=200)
def test_what_the_strictest_allows_each_of_them_allows_and_the_other_way_round(
    parts: list[Limits], asked: Asked
) -> None:
    assert _passes(asked, strictest(*parts)) == all(_passes(asked, one) for one in parts) == _passes(asked, *parts)


@given(st.lists(limits(), max_size=4), st.integers(0, 6), st.integers(0, 6), st.integers(1, 3))
def test_the_strictest_count_is_that_of_each(parts: list[Limits], live: int, pending: int, more: int) -> None:
    def passes(one: Limits) -> bool:
        try:
            check_counts(Rule("p", "user", "kim", one), live=live, pending=pending, more=more)
        except LimitExceeded:
            return False
        return True

    assert passes(strictest(*parts)) == all(passes(one) for one in parts)


@given(limits())
def test_limits_that_are_written_are_read_back_as_they_were(one: Limits) -> None:
    written = write_limits(one)
    assert set(written) <= set(KEYS)
    assert parse_limits(written) == one


def test_limits_are_written_as_people_do() -> None:
    written: dict[str, Written] = {
        "slots": {"cuda.device": 2, "mem": "64g", "cpu": "0.5"},
        "sessions": "5",
        "run_time": "1h30m",
        "folder_bytes": "100g",
        "environments": "python, pytorch",
        "groups": [],
        "gpu_hours": "100.50",
        "pending": None,
    }
    found = parse_limits(written)
    assert found.slots == {"cuda.shares": 2000, "mem": 64 << 30, "cpu": 500}
    assert write_limits(found) == {
        "slots": {"cpu": "0.5", "cuda.shares": "2", "mem": "64g"},
        "sessions": 5,
        "folder_bytes": "100g",
        "run_time": "1h30m",
        "environments": ["python", "pytorch"],
        "groups": [],
        "gpu_hours": "100.5",
    }


@pytest.mark.parametrize(
    ("written", "error", "says"),
    [
        ({"session": 5}, InvalidInput, "'session' is not a limit; there are slots, sessions"),
        ({"sessions": -1}, InvalidInput, "sessions: write a whole number"),
        ({"sessions": "many"}, InvalidInput, "sessions: write a whole number"),
        ({"sessions": True}, InvalidInput, "sessions: write a whole number"),
        ({"run_time": "2"}, InvalidInput, "'2' is not a length of time"),
        ({"run_time": "0s"}, InvalidInput, "at least 1s"),
        ({"idle_time": "0.5s"}, InvalidInput, "idle_time: write whole seconds"),
        ({"folder_bytes": "much"}, InvalidInput, "folder_bytes: cannot read 'much'"),
        ({"environments": ""}, InvalidInput, "leave it out to allow all"),
        ({"gpu_hours": "NaN"}, InvalidInput, "gpu_hours: write hours"),
        ({"gpu_hours": "1e5"}, InvalidInput, "gpu_hours: write hours"),
        ({"slots": "2"}, InvalidInput, "write an amount for each slot"),
        ({"slots": {"mem": "8x"}}, InvalidSlots, "mem: cannot read '8x'"),
        ({"slots": {"cuda.device": 1, "cuda.shares": "0.5"}}, InvalidSlots, "give one limit for both"),
    ],
)
def test_what_cannot_be_read_is_told(written: Mapping[str, Written], error: type[InvalidInput], says: str) -> None:
    with pytest.raises(error) as raised:
        parse_limits(written)
    assert says in raised.value.message


def test_whole_gpus_and_parts_of_them_are_the_same_slot() -> None:
    assert in_use({"cuda.device": 2, "cpu": 500}, 3) == {"cuda.shares": 6000, "cpu": 1500}
    assert in_use({"cuda.shares": 300, "mem": 0}) == {"cuda.shares": 300}


def _message(asked: Asked, *rules: Rule) -> str:
    with pytest.raises(LimitExceeded) as raised:
        check_request(asked, rules)
    return raised.value.message


def test_who_asks_for_too_much_learns_by_which_policy_and_what_would_be_allowed() -> None:
    small = Rule("small", "user", "kim", Limits({"cuda.shares": 2000}))
    tiny = Rule("tiny", "project", "vision", Limits({"cuda.shares": 1000}))
    asked = Asked({"cuda.device": 2}, size=2)
    assert _message(asked, small) == (
        "User kim may hold 2 GPUs (policy small); 4 GPUs asked for (2 GPUs in each of 2 containers). "
        "Ask for less, or ask an administrator for another policy."
    )
    assert _message(asked, small, tiny).startswith("Project vision may hold 1 GPU (policy tiny); 4 GPUs asked for")


def test_everything_that_is_too_much_is_told_at_once() -> None:
    limits = Limits(
        {"mem": 1 << 30}, containers=1, run_seconds=7200, environments=frozenset({"python"}), groups=frozenset()
    )
    asked = Asked({"mem": 2 << 30}, 2, "r", "gpu", 10_000, 1e9)
    told = _message(asked, Rule("class", "member", "ml-101", limits))
    for sentence in (
        "A member of project ml-101 may hold 1g mem (policy class); 4g mem asked for (2g mem in each of 2 containers).",
        "A session of a member of project ml-101 may have 1 container (policy class); this one would have 2 ",
        "may run for 2h (policy class); this one would run for 2h46m40s.",
        "A member of project ml-101 may not use environment r (policy class); allowed: python.",
        "A member of project ml-101 may not use resource group gpu (policy class); none is allowed.",
    ):
        assert sentence in told
    assert "idle" not in told


def test_no_maximum_run_time_is_not_too_long() -> None:
    """Whoever names none gets the limit."""
    check_request(Asked({}), [Rule("p", "user", "kim", Limits(run_seconds=60))])


def test_counts_are_checked_before_one_more_is_created() -> None:
    rule = Rule("small", "project", "vision", Limits(sessions=50, pending=2))
    check_counts(rule, live=49, pending=1)
    with pytest.raises(LimitExceeded) as raised:
        check_counts(rule, live=50, pending=0)
    assert raised.value.message == (
        "Project vision may have 50 live sessions (policy small) and has 50. "
        "Stop one of them, or ask an administrator for another policy."
    )
    with pytest.raises(LimitExceeded, match=r"2 waiting sessions \(policy small\) and has 1, and 2 more are asked for"):
        check_counts(rule, live=1, pending=1, more=2)
    check_counts(replace(rule, limits=Limits()), live=10**6, pending=10**6)


def test_used_up_gpu_hours_end_new_sessions_with_gpus() -> None:
    rule = Rule("small", "user", "kim", Limits(gpu_hours=Decimal(100)))
    check_gpu_hours(rule, Fraction("99.9"))
    with pytest.raises(LimitExceeded, match=r"100 GPU-hours a month \(policy small\) and has used 100.5"):
        check_gpu_hours(rule, Fraction("100.46"))
