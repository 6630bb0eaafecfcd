"""Properties of a scheduling pass that hold whatever the nodes and the queue look like."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings

from madang.domain.session import Layout
from madang.scheduling.decisions import Expire, Placement, Preempt, Wait
from madang.scheduling.plan import plan
from madang.scheduling.policy import Policy, Queue
from madang.scheduling.snapshot import Node, Request
from tests.unit.scheduling.worlds import (
    QUEUES,
    Ledger,
    World,
    gpu_node,
    gpus,
    part_of_gpu,
    placements,
    policies,
    worlds,
)


@given(worlds(), policies())
@settings(max_examples=80, deadline=None)
def test_nothing_is_given_twice_and_every_session_gets_one_decision(world: World, policy: Policy) -> None:
    decisions = world.plan(policy=policy)
    own = [one for one in decisions if not isinstance(one, Preempt)]
    assert sorted(one.session_id for one in own) == sorted(request.id for request in world.requests)
    by_id = {request.id: request for request in world.requests}
    ledger = Ledger(world.nodes, world.running)
    for one in decisions:
        if isinstance(one, Placement):
            ledger.place(by_id[one.session_id], one.parts)


@given(worlds(), policies())
@settings(max_examples=40, deadline=None)
def test_room_is_left_idle_only_where_it_is_kept_for_somebody(world: World, policy: Policy) -> None:
    decisions = world.plan(policy=policy)
    ledger = Ledger(world.nodes, world.running)
    by_id = {request.id: request for request in world.requests}
    for session, parts in placements(decisions).items():
        ledger.place(by_id[session], parts)
    for one in decisions:
        if isinstance(one, Wait) and ledger.fits(by_id[one.session_id]):
            assert one.why.code in (("kept", "preempting") if policy.backfill else ("kept", "preempting", "behind"))


@given(worlds(), policies())
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_input_does_not_matter(world: World, policy: Policy) -> None:
    expected = world.plan(policy=policy)
    random = Random(7)
    for rows in (world.nodes, world.requests, world.running):
        random.shuffle(rows)
    assert world.plan(policy=policy) == expected


@given(worlds(), policies("fifo"))
@settings(max_examples=40, deadline=None)
def test_nobody_overtakes_in_a_strict_queue(world: World, policy: Policy) -> None:
    world.requests = [replace(request, priority=0) for request in world.requests]
    decisions = world.plan(policy=replace(policy, backfill=False, preemption=False))
    impossible = {one.session_id for one in decisions if isinstance(one, Wait) and one.position == 0}
    order = [one.id for one in sorted(world.requests, key=lambda one: (one.arrived, one.id))]
    served = [name for name in order if name not in impossible]
    placed = placements(decisions)
    assert [name in placed for name in served] == sorted((name in placed for name in served), reverse=True)


@given(worlds())
@settings(max_examples=40, deadline=None)
def test_backfilling_takes_nothing_from_those_a_strict_queue_would_have_served(world: World) -> None:
    world.requests = [replace(request, priority=0) for request in world.requests]
    strict = placements(world.plan(policy=Policy(backfill=False)))
    assert placements(world.plan(policy=Policy(backfill=True))).items() >= strict.items()


@given(worlds(), policies())
@settings(max_examples=40, deadline=None)
def test_a_pass_without_reasons_decides_the_same(world: World, policy: Policy) -> None:
    snapshot = world.snapshot()
    full = [one for one in plan(snapshot, 100.0, policy) if not isinstance(one, Wait)]
    assert plan(snapshot, 100.0, policy, reasons=False) == full
    assert [one for one in plan(snapshot, 100.0, policy) if not isinstance(one, Wait)] == full, "a pass changes nothing"


@pytest.mark.parametrize("queue", QUEUES)
def test_higher_priority_goes_first_under_every_policy(queue: Queue) -> None:
    world = World(
        [Node("n1", {"cpu": 1})],
        [Request("old", {"cpu": 1}, 1), Request("new", {"cpu": 1}, 2, priority=5, user="greedy")],
    )
    assert list(placements(world.plan(3, Policy(queue=queue)))) == ["new"]


def test_waiting_raises_a_low_priority_to_the_highest_in_the_queue_and_no_further() -> None:
    low = Request("low", {"cpu": 1}, 0.0)
    high = Request("high", {"cpu": 1}, 7000.0, priority=2)
    world = World([Node("n1", {"cpu": 1})], [low, high])
    assert list(placements(world.plan(7100.0))) == ["high"]
    assert list(placements(world.plan(7300.0))) == ["low"], (
        "two hours count as two steps, and then the older goes first"
    )
    assert list(placements(world.plan(7300.0, Policy(aging_seconds=0)))) == ["high"]


def test_waiting_long_does_not_put_who_has_much_before_who_has_nothing() -> None:
    rich = [Request(f"r{at}", {"cpu": 1}, float(at), user="rich") for at in range(3)]
    world = World([Node("n1", {"cpu": 2})], [*rich, Request("poor", {"cpu": 1}, 90_000.0, user="poor")])
    placed = placements(world.plan(90_001.0, Policy(queue="drf")))
    assert set(placed) == {"r0", "poor"}


def test_a_session_that_no_node_could_ever_hold_blocks_nobody() -> None:
    world = World([gpu_node("n1", 4)], [Request("giant", {}, 1, claim=gpus(8)), Request("small", {}, 2, claim=gpus(1))])
    decisions = world.plan(policy=Policy(backfill=False))
    assert list(placements(decisions)) == ["small"]
    [giant] = [one for one in decisions if isinstance(one, Wait)]
    assert (giant.why.code, giant.position) == ("too_large", 0)


def test_parts_of_gpus_share_one_and_leave_the_others_whole() -> None:
    asked = [Request(f"s{at}", {}, at, claim=part_of_gpu(300)) for at in range(3)]
    world = World([gpu_node("n1", 4)], [*asked, Request("big", {}, 9, claim=gpus(3))])
    placed = placements(world.plan())
    assert {share.index for at in range(3) for share in placed[f"s{at}"][0].shares} == {0}
    assert len(placed["big"][0].shares) == 3


def test_containers_of_a_session_are_on_one_node_or_on_different_ones_as_asked() -> None:
    nodes = [gpu_node(f"n{at}", 4) for at in range(3)]
    spread = World(nodes, [Request("s", {}, 1, claim=gpus(1), size=3, layout=Layout.SPREAD)])
    assert sorted(part.node for part in placements(spread.plan())["s"]) == ["n0", "n1", "n2"]
    together = World(nodes, [Request("s", {}, 1, claim=gpus(1), size=4, layout=Layout.ONE_NODE)])
    assert len({part.node for part in placements(together.plan())["s"]}) == 1
    anyhow = World(nodes, [Request("s", {}, 1, claim=gpus(1), size=6)])
    assert len({part.node for part in placements(anyhow.plan())["s"]}) == 2, "as few nodes as possible"
    too_many = World(nodes, [Request("s", {}, 1, claim=gpus(1), size=5, layout=Layout.ONE_NODE)])
    assert not placements(too_many.plan())


def test_a_deadline_that_cannot_be_met_is_told_at_once() -> None:
    world = World(
        [Node("n1", {"cpu": 1})],
        [
            Request("late", {"cpu": 1}, 1, max_seconds=50.0, deadline=149.0),
            Request("in time", {"cpu": 1}, 2, max_seconds=50.0, deadline=150.0),
        ],
    )
    decisions = world.plan(100.0)
    assert list(placements(decisions)) == ["in time"]
    [expired] = [one for one in decisions if isinstance(one, Expire)]
    assert (expired.session_id, expired.why.code) == ("late", "deadline")
