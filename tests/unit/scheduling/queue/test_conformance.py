"""What every queue policy has to keep to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madang.scheduling.plan import QUEUES
from madang.scheduling.policy import Policy, Queue, Weights
from madang.scheduling.queue.base import Line
from madang.scheduling.snapshot import Request, Snapshot
from tests.unit.scheduling.worlds import gpu_node, requests

_NODES = [gpu_node("n1", 4, cpu=40), gpu_node("n2", 2, cpu=20)]
_WEIGHTS = Weights({"ann": 2.0, "bob": 0.0}, {"q": 3.0})


def _served(queue: Queue, rows: list[Request], levels: list[int], placed: frozenset[int], policy: Policy) -> list[str]:
    """The order in which a policy names requests, of which some get their room."""
    snapshot = Snapshot.of(_NODES, rows)
    line = Line(np.arange(len(rows)), np.array(levels[: len(rows)], dtype=np.int64))
    turn = QUEUES[queue].begin(snapshot, line, 100.0, policy)
    order = []
    while (row := turn.next()) is not None:
        order.append(snapshot.requests.rows[row].id)
        if row in placed:
            turn.placed(row)
    assert turn.next() is None, "the end is the end"
    return order


_levels = st.lists(st.integers(-1, 2), min_size=12, max_size=12)
_placed = st.frozensets(st.integers(0, 11))
_policies = st.sampled_from([Policy(), Policy(weights=_WEIGHTS, history={"ann": {"cpu": 5e6, "cuda.shares": 1e9}})])


def _placeable(rows: list[Request]) -> list[Request]:
    return [replace(one, claim=None if one.claim and one.claim.kind != "cuda" else one.claim) for one in rows]


@pytest.mark.parametrize("queue", list(QUEUES))
@given(rows=requests(), levels=_levels, placed=_placed, policy=_policies)
@settings(max_examples=40, deadline=None)
def test_everybody_is_named_once_and_higher_levels_first(
    queue: Queue, rows: list[Request], levels: list[int], placed: frozenset[int], policy: Policy
) -> None:
    rows = _placeable(rows)
    order = _served(queue, rows, levels, placed, policy)
    assert sorted(order) == sorted(one.id for one in rows)
    by_arrival = [one.id for one in sorted(rows, key=lambda one: (one.arrived, one.id))]
    level = dict(zip(by_arrival, levels, strict=False))
    named = [level[name] for name in order]
    assert named == sorted(named, reverse=True)


@pytest.mark.parametrize("queue", list(QUEUES))
@given(rows=requests(), levels=_levels, placed=_placed, policy=_policies)
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_input_decides_nothing(
    queue: Queue, rows: list[Request], levels: list[int], placed: frozenset[int], policy: Policy
) -> None:
    rows = _placeable(rows)
    assert _served(queue, rows, levels, placed, policy) == _served(queue, rows[::-1], levels, placed, policy)


@pytest.mark.parametrize("queue", list(QUEUES))
@given(rows=requests(), levels=_levels, placed=_placed, policy=_policies)
@settings(max_examples=30, deadline=None)
def test_of_one_user_and_project_who_came_first_goes_first(
    queue: Queue, rows: list[Request], levels: list[int], placed: frozenset[int], policy: Policy
) -> None:
    if queue == "lifo":
        return
    rows = [replace(one, user="ann", project="p") for one in _placeable(rows)]
    order = _served(queue, rows, [0] * 12, placed, policy)
    assert order == [one.id for one in sorted(rows, key=lambda one: (one.arrived, one.id))]


@pytest.mark.parametrize("queue", list(QUEUES))
def test_an_empty_queue_has_nobody_to_name(queue: Queue) -> None:
    assert _served(queue, [], [], frozenset(), Policy()) == []


def test_the_last_one_in_goes_first_and_of_those_at_once_the_first_by_id() -> None:
    rows = [Request("a", {}, 1), Request("b", {}, 2), Request("c", {}, 2)]
    assert _served("lifo", rows, [0] * 3, frozenset(), Policy()) == ["b", "c", "a"]
