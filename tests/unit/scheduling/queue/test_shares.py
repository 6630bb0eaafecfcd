"""Fairness: dominant resource fairness against a brute-force oracle, weights, and use that is forgotten over time."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from madang.domain.session import SessionKind
from madang.scheduling.policy import Policy, Weights
from madang.scheduling.snapshot import Node, Part, Request, Running
from tests.unit.scheduling.worlds import World, gpu_node, gpus, part_of_gpu, placements

_CPU, _MEM, _GPU = 24, 30, 4
_Task = tuple[int, int, int]  # cpu, mem, thousandths of a GPU

_tasks = st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from([0, 0, 250, 500, 1000])).filter(any)


def _node() -> Node:
    return gpu_node("n1", _GPU, cpu=_CPU, mem=_MEM)


def _request(name: str, user: str, task: _Task, arrived: float, project: str = "") -> Request:
    cpu, mem, gpu = task
    return Request(
        name, {"cpu": cpu, "mem": mem}, arrived, claim=part_of_gpu(gpu) if gpu else None, user=user, project=project
    )


def _share(task: _Task, count: int) -> Fraction:
    return max(Fraction(task[0] * count, _CPU), Fraction(task[1] * count, _MEM), Fraction(task[2] * count, _GPU * 1000))


def _fits(tasks: list[_Task], counts: list[int]) -> bool:
    """Whether a node holds so many tasks of each user; the parts of GPUs are all of sizes that fill one."""
    cpu, mem, gpu = (sum(task[at] * count for task, count in zip(tasks, counts, strict=True)) for at in range(3))
    return cpu <= _CPU and mem <= _MEM and gpu <= _GPU * 1000


def _filled(tasks: list[_Task], weights: list[int], arrivals: list[int]) -> list[int]:
    """Progressive filling by the letter: the user with the smallest weighted share gets one more, until one does not
    fit. Returns the users in order."""
    counts = [0] * len(tasks)
    order: list[int] = []
    while True:
        user = min(
            range(len(tasks)),
            key=lambda one: (_share(tasks[one], counts[one]) / weights[one], counts[one], arrivals[one]),
        )
        counts[user] += 1
        if not _fits(tasks, counts):
            return order
        order.append(user)


@given(
    st.lists(_tasks, min_size=2, max_size=3),
    st.lists(st.integers(1, 3), min_size=3, max_size=3),
    st.permutations([0, 1, 2]),
)
@settings(max_examples=60, deadline=None)
def test_drf_gives_as_progressive_filling_does(tasks: list[_Task], weights: list[int], arrivals: list[int]) -> None:
    expected = _filled(tasks, weights, arrivals)
    rows = [
        _request(f"u{user}-{number:02}", f"u{user}", task, number * 10.0 + arrivals[user])
        for user, task in enumerate(tasks)
        for number in range(32)
    ]
    policy = Policy(queue="drf", backfill=False, weights=Weights({f"u{at}": float(weights[at]) for at in range(3)}))
    placed = placements(World([_node()], rows).plan(1000.0, policy))
    assert [name.split("-")[0] for name in placed] == [f"u{user}" for user in expected]


@given(st.lists(_tasks, min_size=2, max_size=3))
@settings(max_examples=25, deadline=None)
def test_no_other_allocation_gives_the_poorest_user_more_than_a_task_more(tasks: list[_Task]) -> None:
    rows = [
        _request(f"u{user}-{number:02}", f"u{user}", task, float(number))
        for user, task in enumerate(tasks)
        for number in range(31)
    ]
    placed = placements(World([_node()], rows).plan(1000.0, Policy(queue="drf", backfill=False)))
    counts = [sum(name.startswith(f"u{user}-") for name in placed) for user in range(len(tasks))]
    poorest = min(_share(task, count) for task, count in zip(tasks, counts, strict=True))
    largest = max(_share(task, 1) for task in tasks)
    alone = [next(count for count in itertools.count() if not _fits([task], [count + 1])) for task in tasks]
    best = max(
        min(_share(task, count) for task, count in zip(tasks, other, strict=True))
        for other in itertools.product(*(range(count + 1) for count in alone))
        if _fits(tasks, list(other))
    )
    assert best <= poorest + largest


def test_the_shares_of_a_user_count_together_over_projects_and_over_what_runs() -> None:
    running = [Running("r", (Part("n1", {"cpu": 4}),), user="ann", project="p")]
    rows = [
        _request("ann-other", "ann", (4, 0, 0), 1.0, "q"),
        _request("bob-1", "bob", (4, 0, 0), 2.0),
        _request("bob-2", "bob", (4, 0, 0), 3.0),
    ]
    placed = placements(World([Node("n1", {"cpu": 16, "mem": 16})], rows, running).plan(10.0, Policy(queue="drf")))
    assert list(placed) == ["bob-1", "ann-other", "bob-2"]


def test_the_dominant_share_may_be_that_of_a_device() -> None:
    rows = [
        Request("gpu", {"cpu": 1}, 1.0, claim=gpus(2), user="ann"),
        Request("gpu-2", {"cpu": 1}, 2.0, claim=gpus(2), user="ann"),
        *(Request(f"cpu{at}", {"cpu": 8}, 3.0 + at, user="bob") for at in range(2)),
    ]
    # Two of four GPUs weigh as much as 32 of 64 cores: half of the group.
    placed = placements(World([gpu_node("n1", 4, cpu=64)], rows).plan(10.0, Policy(queue="drf")))
    assert list(placed) == ["gpu", "cpu0", "cpu1", "gpu-2"]


def test_weights_of_user_and_project_multiply() -> None:
    rows = [
        *(_request(f"a{at}", "ann", (1, 0, 0), float(at), "p") for at in range(12)),
        *(_request(f"b{at}", "bob", (1, 0, 0), float(at), "q") for at in range(12)),
    ]
    policy = Policy(queue="drf", weights=Weights({"ann": 2.0}, {"p": 2.0}))
    placed = list(placements(World([Node("n1", {"cpu": 10})], rows).plan(50.0, policy)))
    assert sum(name.startswith("a") for name in placed) == 8


def test_who_used_most_of_late_waits_and_use_long_ago_is_forgotten() -> None:
    rows = [_request("a", "ann", (8, 0, 0), 1.0), _request("b", "bob", (8, 0, 0), 2.0)]
    world = World([Node("n1", {"cpu": 10})], rows)
    day = 86_400.0
    busy = Policy(queue="fair-share", history={"ann": {"cpu": 5 * day}})
    assert list(placements(world.plan(50.0, busy))) == ["b"]
    decayed = replace(busy, history={"ann": {"cpu": 5 * day}, "bob": {"cpu": 6 * day}})
    assert list(placements(world.plan(50.0, decayed))) == ["a"]


@given(st.floats(60.0, 20 * 86_400.0), st.floats(3600.0, 30 * 86_400.0))
@settings(max_examples=30, deadline=None)
def test_what_runs_counts_like_what_has_run(seconds: float, half_life: float) -> None:
    """Somebody whose session runs for a time has used as much as somebody whose session has just ended after it."""
    assume(seconds / half_life < 50)
    tau = half_life / 0.6931471805599453
    used = 4 * tau * (1 - 2.718281828459045 ** (-seconds / tau))
    now = 1e8
    running = [
        Running("r", (Part("n1", {"cpu": 4}),), user="ann", started=now - seconds),
        Running("x", (Part("n1", {"cpu": 4}),), user="bob", started=now),
    ]
    rows = [_request("a", "ann", (1, 0, 0), now - 8), _request("b", "bob", (1, 0, 0), now - 9)]
    world = World([Node("n1", {"cpu": 9})], rows, running)
    more, less = {"bob": {"cpu": used * 1.001}}, {"bob": {"cpu": used * 0.999}}
    policy = Policy(queue="fair-share", half_life_seconds=half_life)
    assert list(placements(world.plan(now, replace(policy, history=more)))) == ["a"]
    assert list(placements(world.plan(now, replace(policy, history=less)))) == ["b"]


def test_interactive_sessions_have_no_privilege_but_their_priority() -> None:
    rows = [
        _request("batch", "ann", (1, 0, 0), 1.0),
        replace(_request("typing", "bob", (1, 0, 0), 2.0), kind=SessionKind.INTERACTIVE),
    ]
    assert list(placements(World([Node("n1", {"cpu": 1})], rows).plan(5.0, Policy(queue="fifo")))) == ["batch"]
