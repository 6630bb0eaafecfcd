"""When room comes free is told as a bookkeeper would who goes through all known ends one by one."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings

from madang.domain.session import Layout
from madang.scheduling.decisions import Wait
from madang.scheduling.ends import NEVER
from madang.scheduling.policy import Policy
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Request, Running
from madang.scheduling.timeline import Timeline
from tests.unit.scheduling.worlds import Ledger, World, gpu_node, gpus, placements, requests, run, worlds

NOW = 100.0


def _end(one: Running) -> float:
    return NEVER if one.ends is None else max(one.ends, NOW)


@given(worlds(), requests(3, prefix="q"))
@settings(max_examples=80, deadline=None)
def test_the_earliest_start_is_the_first_end_after_which_all_fits(world: World, asked: list[Request]) -> None:
    world.requests = asked
    snapshot = world.snapshot()
    timeline = Timeline(Room(snapshot), NOW)
    for at, request in enumerate(snapshot.requests.rows):
        start, nodes = timeline.earliest(snapshot.forms[int(snapshot.requests.form[at])])
        moments = sorted({NOW, *(_end(one) for one in world.running)} - {NEVER})
        expected = next(
            (
                when
                for when in moments
                if Ledger(world.nodes, [one for one in world.running if _end(one) > when]).fits(request)
            ),
            NEVER,
        )
        assert start == expected
        if start < NEVER:
            then = Ledger(world.nodes, [one for one in world.running if _end(one) > start])
            assert sum(count for _, count in nodes) == request.size
            assert all(then.count(request, snapshot.nodes[node]) >= count for node, count in nodes)
            if request.layout is Layout.SPREAD:
                assert all(count == 1 for _, count in nodes)
            if request.layout is Layout.ONE_NODE:
                assert len(nodes) == 1


@given(worlds(), requests(3, prefix="q"))
@settings(max_examples=40, deadline=None)
def test_room_that_comes_free_later_is_told_like_room_of_known_ends(world: World, asked: list[Request]) -> None:
    """Taking sessions out of what is known and giving their room back by hand makes no difference."""
    world.requests = asked
    ending = [one for one in world.running if one.ends is not None]
    known = Timeline(Room(world.snapshot()), NOW)
    world.running = [replace(one, ends=None) for one in world.running]
    snapshot = world.snapshot()
    told = Timeline(Room(snapshot), NOW)
    for one in ending:
        alone = replace(world, running=[replace(one, ends=NOW + 1.0)]).snapshot()
        empty = replace(world, running=[]).snapshot()
        with_it, without = Timeline(Room(alone), NOW), Timeline(Room(empty), NOW)
        for node in range(len(snapshot.nodes)):
            now, then = with_it.free_at(node, NOW), without.free_at(node, NOW)
            then.slots -= now.slots
            for kind in then.devices:
                then.devices[kind] -= now.devices[kind]
            told.give_back(node, then, _end(one))
    for number in {int(form) for form in snapshot.requests.form}:
        assert told.earliest(snapshot.forms[number])[0] == known.earliest(snapshot.forms[number])[0]


def _estimates(world: World, now: float, policy: Policy = Policy()) -> dict[str, float | None]:
    return {one.session_id: one.estimated_start for one in world.plan(now, policy) if isinstance(one, Wait)}


def _busy(lasts: float | None) -> World:
    node = gpu_node("n1", 2)
    first = Request("r", {}, 0.0, claim=gpus(2), max_seconds=lasts)
    placed = placements(World([node], [first]).plan(0.0))
    return World([node], [], [run(first, placed["r"], 0.0)])


def test_starts_are_estimated_one_after_the_other() -> None:
    world = _busy(100.0)
    world.requests = [
        Request("a", {}, 1.0, claim=gpus(2), max_seconds=50.0),
        Request("b", {}, 2.0, claim=gpus(1), max_seconds=30.0),
        Request("c", {}, 3.0, claim=gpus(1), max_seconds=10.0),
        Request("d", {}, 4.0, claim=gpus(2), max_seconds=10.0),
    ]
    assert _estimates(world, 10.0) == {"a": 100.0, "b": 150.0, "c": 150.0, "d": 180.0}


def test_where_nobody_knows_nothing_is_estimated() -> None:
    world = _busy(None)
    world.requests = [Request("a", {}, 1.0, claim=gpus(2), max_seconds=50.0), Request("b", {}, 2.0, claim=gpus(1))]
    assert _estimates(world, 10.0) == {"a": None, "b": None}


def test_who_waits_for_somebody_without_an_end_is_told_nothing() -> None:
    world = _busy(100.0)
    world.requests = [Request("a", {}, 1.0, claim=gpus(2)), Request("b", {}, 2.0, claim=gpus(1))]
    assert _estimates(world, 10.0) == {"a": 100.0, "b": None}


def test_in_a_strict_queue_nobody_is_told_to_start_before_those_ahead() -> None:
    node = gpu_node("n1", 4)
    asked = [Request("r", {}, 0.0, claim=gpus(3), max_seconds=100.0)]
    running = [run(asked[0], placements(World([node], asked).plan(0.0))["r"], 0.0)]
    waiting = [
        Request("a", {}, 1.0, claim=gpus(4), max_seconds=50.0),
        Request("b", {}, 2.0, claim=gpus(1), max_seconds=200.0),
        Request("c", {}, 3.0, claim=gpus(1), max_seconds=10.0),
    ]
    world = World([node], waiting, running)
    assert _estimates(world, 10.0, Policy(backfill=False)) == {"a": 100.0, "b": 150.0, "c": 150.0}
    assert _estimates(world, 10.0) == {"a": 100.0, "b": 150.0}, "c is short enough to go first"
