"""Others may pass who has to wait, but nobody whose turn it is, and no large session, ever waits longer for it."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madang.domain.session import Layout
from madang.scheduling.decisions import Placement, Wait
from madang.scheduling.plan import plan
from madang.scheduling.policy import Policy, Queue
from madang.scheduling.snapshot import Device, Node, Request, Running
from madang.scheduling.state import ClusterState
from tests.unit.scheduling.worlds import (
    QUEUES,
    World,
    claims,
    gpu_node,
    gpus,
    part_of_gpu,
    placements,
    run,
    slots,
)


@dataclass
class Replay:
    """Sessions that come over time, run as long as they say (or shorter), and are planned at every event."""

    nodes: list[Node]
    arrivals: list[Request]
    lasts: dict[str, float]  # how long each really runs
    policy: Policy = field(default_factory=Policy)
    started: dict[str, float] = field(default_factory=dict)
    promised: dict[str, float] = field(default_factory=dict)  # to the head of the queue, the earliest one told

    def play(self, most: int = 2000) -> None:
        state = ClusterState()
        for node in self.nodes:
            state.set_node(node)
        by_id = {request.id: request for request in self.arrivals}
        events = [(request.arrived, 1, request.id) for request in self.arrivals]
        heapq.heapify(events)
        while events and most:
            now = events[0][0]
            while events and events[0][0] == now:
                _, kind, name = heapq.heappop(events)
                if kind:
                    state.add(by_id[name])
                else:
                    state.end(name)
            decisions = plan(state.snapshot(), now, self.policy)
            for one in decisions:
                most -= 1
                if isinstance(one, Placement):
                    state.start(run(by_id[one.session_id], one.parts, now))
                    self.started[one.session_id] = now
                    heapq.heappush(events, (now + self.lasts[one.session_id], 0, one.session_id))
                elif isinstance(one, Wait) and one.position == 1 and one.estimated_start is not None:
                    before = self.promised.get(one.session_id, one.estimated_start)
                    self.promised[one.session_id] = min(before, one.estimated_start)


@st.composite
def _replays(draw: st.DrawFn) -> Replay:
    nodes = [
        replace(
            gpu_node(f"n{at}", draw(st.integers(1, 4)), cpu=8), capacity={"cpu": draw(st.integers(4, 12)), "mem": 4}
        )
        for at in range(draw(st.integers(1, 3)))
    ]
    arrivals, lasts = [], {}
    for at in range(draw(st.integers(4, 22))):
        known = draw(st.sampled_from([5.0, 20.0, 60.0]))
        request = Request(
            f"s{at:02}",
            draw(slots()),
            float(draw(st.integers(0, 60))),
            claim=draw(claims()),
            size=draw(st.sampled_from([1, 1, 1, 2, 4])),
            layout=draw(st.sampled_from(list(Layout))),
            max_seconds=known,
        )
        arrivals.append(request)
        lasts[request.id] = known * draw(st.sampled_from([1.0, 1.0, 1.0, 0.4]))
    return Replay(nodes, arrivals, lasts)


@given(_replays())
@settings(max_examples=40, deadline=None)
def test_a_head_starts_no_later_than_it_was_first_told(replay: Replay) -> None:
    replay.play()
    for name, promise in replay.promised.items():
        assert replay.started[name] <= promise


def _running(nodes: list[Node], request: Request) -> list[Running]:
    """A session that has been started on these nodes at 0."""
    return [run(request, placements(World(nodes, [request]).plan(0.0))[request.id], 0.0)]


def test_a_short_session_fills_the_gap_and_a_long_one_does_not() -> None:
    nodes = [gpu_node("n1", 4)]
    running = _running(nodes, Request("r", {}, 0, claim=gpus(3), max_seconds=100.0))
    waiting = [
        Request("head", {}, 1, claim=gpus(4), max_seconds=50.0),
        Request("long", {}, 2, claim=gpus(1), max_seconds=101.0),
        Request("endless", {}, 3, claim=gpus(1)),
        Request("short", {}, 4, claim=gpus(1), max_seconds=90.0),
    ]
    decisions = World(nodes, waiting, running).plan(10.0)
    assert list(placements(decisions)) == ["short"]
    waits = {one.session_id: one for one in decisions if isinstance(one, Wait)}
    assert waits["head"].estimated_start == 100.0
    assert waits["long"].estimated_start == 150.0
    assert waits["endless"].estimated_start == 150.0
    assert not placements(World(nodes, waiting, running).plan(10.0, Policy(backfill=False)))


def test_a_long_session_may_use_what_the_head_will_not_need() -> None:
    nodes = [gpu_node("n1", 4)]
    running = _running(nodes, Request("r", {}, 0, claim=gpus(2), max_seconds=100.0))
    waiting = [Request("head", {}, 1, claim=gpus(3)), Request("endless", {}, 2, claim=gpus(1))]
    assert list(placements(World(nodes, [*waiting, replace(waiting[1], id="next")], running).plan(10.0))) == ["endless"]


def test_the_parts_of_gpus_that_the_head_needs_are_left_alone() -> None:
    node = Node("n1", {}, devices={"cuda": (Device(0, "A100"), Device(1, "A100", 500))})
    running = _running([node], Request("r", {}, 0, claim=part_of_gpu(600), max_seconds=100.0))
    waiting = [
        Request("head", {}, 1, claim=gpus(1)),
        Request("too much", {}, 2, claim=part_of_gpu(400)),
        Request("beside", {}, 3, claim=part_of_gpu(300)),
    ]
    placed = placements(World([node], waiting, running).plan(10.0))
    assert {name: parts[0].shares[0].index for name, parts in placed.items()} == {"too much": 1}


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("backfill", [True, False])
def test_a_large_session_does_not_starve_under_a_stream_of_small_ones(queue: Queue, backfill: bool) -> None:
    """Nobody tells how long anything runs, and there is always somebody who would take a GPU that comes free."""
    random = Random(3)
    nodes = [gpu_node(f"n{at}", 4) for at in range(3)]
    small = [Request(f"s{at:03}", {}, at * 1.5, claim=gpus(1), user=f"u{at % 5}") for at in range(240)]
    large = Request("large", {}, 60.0, claim=gpus(4), user="u0")
    lasts = {one.id: random.uniform(10.0, 30.0) for one in small} | {"large": 10.0}
    replay = Replay(nodes, [*small, large], lasts, Policy(queue=queue, backfill=backfill, aging_seconds=60.0))
    replay.play(10**6)
    assert replay.started["large"] <= 60.0 + 60.0 + 90.0
    assert len(replay.started) == 241, "the small ones are served as well"


@pytest.mark.parametrize("queue", QUEUES)
def test_a_gang_over_several_nodes_does_not_starve_either(queue: Queue) -> None:
    random = Random(5)
    nodes = [gpu_node(f"n{at}", 4) for at in range(3)]
    small = [Request(f"s{at:03}", {}, at * 1.5, claim=gpus(1), user=f"u{at % 5}") for at in range(240)]
    large = Request("large", {}, 60.0, claim=gpus(2), user="u0", size=4)
    lasts = {one.id: random.uniform(10.0, 30.0) for one in small} | {"large": 10.0}
    replay = Replay(nodes, [*small, large], lasts, Policy(queue=queue, aging_seconds=60.0))
    replay.play(10**6)
    assert replay.started["large"] <= 60.0 + 60.0 + 90.0
