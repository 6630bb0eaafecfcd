"""Every reason is true: when what it names is there, the session starts."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings

from madang.domain.devices import WHOLE
from madang.domain.session import Layout
from madang.domain.slots import parse_amount
from madang.domain.why import Why, sentence
from madang.scheduling.decisions import Preempt, Wait
from madang.scheduling.explain import EXACT
from madang.scheduling.policy import Policy
from madang.scheduling.snapshot import Device, Node, Request
from tests.unit.scheduling.worlds import (
    Ledger,
    World,
    gpu_node,
    gpus,
    part_of_gpu,
    placements,
    policies,
    run,
    worlds,
)


def _amounts(written: object) -> dict[str, int]:
    """Read `2 cpu, 8g mem`."""
    parts = [part.split(" ", 1) for part in str(written).split(", ")]
    return {name: parse_amount(name, amount) for amount, name in parts}


def _device(request: Request, index: int) -> Device:
    assert request.claim is not None
    return Device(index, request.claim.models[0] if request.claim.models else "")


def _enlarged(node: Node, why: Why, request: Request, ledger: Ledger) -> Node:
    """The node with exactly what was said to be missing, after checking that what was said to be there is there."""
    values, capacity, devices = why.values, dict(node.capacity), dict(node.devices)
    if "slots" in values:
        for slot, free in _amounts(values["slots_free"]).items():
            asked = _amounts(values["slots"])[slot]
            assert (asked, free) == (request.slots[slot], ledger.free[node.name].get(slot, 0))
            over = max(node.used.get(slot, 0) - node.capacity.get(slot, 0), 0)
            capacity[slot] = capacity.get(slot, 0) + over + asked - free
    claim = request.claim
    if claim is not None and ("devices" in values or "fraction" in values):
        own = node.devices.get(claim.kind, ())
        free_ones = [ledger.devices[node.name, claim.kind, one.index] for one in own if claim.allows(one.model)]
        if "devices" in values:
            assert values["devices"] == claim.count
            assert values["devices_free"] == free_ones.count(WHOLE) < claim.count
            missing = claim.count - free_ones.count(WHOLE)
        else:
            assert values["fraction_free"] == f"{max(free_ones, default=0) / WHOLE:g}"
            assert max(free_ones, default=0) < claim.milli
            missing = 1
        devices[claim.kind] = (*own, *(_device(request, 100 + at) for at in range(missing)))
    return replace(node, capacity=capacity, devices=devices)


def _satisfied(world: World, why: Why, request: Request, ledger: Ledger) -> World:
    """The world in which what the reason names is there."""
    one = _one_container(request)
    match why.code:
        case "kept" | "behind":
            return world
        case "shortage":
            named = [node for node in world.nodes if node.name == why.values["node"]]
            others = [node for node in world.nodes if node.name != why.values["node"]]
            return replace(world, nodes=[*others, _enlarged(named[0], why, request, ledger)])
        case "gang":
            counts = [ledger.count(request, node.name) for node in world.nodes]
            told = {
                Layout.ONE_NODE: max(counts, default=0),
                Layout.SPREAD: sum(count > 0 for count in counts),
                Layout.ANY: sum(counts),
            }[request.layout]
            assert why.values["room"] == told < request.size == why.values["size"]
            if request.layout is Layout.ONE_NODE:
                return replace(world, nodes=[*world.nodes, _times(one, request.size)])
            more = [replace(one, name=f"more{at}") for at in range(request.size - told)]
            return replace(world, nodes=[*world.nodes, *more])
        case _:
            assert why.code in ("too_large", "no_device", "no_feature", "no_node")
            if request.layout is Layout.ONE_NODE:
                return replace(world, nodes=[_times(one, request.size)])
            return replace(world, nodes=[replace(one, name=f"more{at}") for at in range(request.size)])


def _one_container(request: Request) -> Node:
    """A node that holds one container and nothing else."""
    return _times(Node("more", request.slots, offers=request.needs), 1, request)


def _times(node: Node, count: int, request: Request | None = None) -> Node:
    if request is not None and request.claim is not None:
        devices = tuple(_device(request, at) for at in range(request.claim.count))
        return replace(node, devices={request.claim.kind: devices})
    grown = {
        kind: tuple(replace(one, index=len(own) * copy + one.index) for copy in range(count) for one in own)
        for kind, own in node.devices.items()
    }
    return replace(node, capacity={slot: amount * count for slot, amount in node.capacity.items()}, devices=grown)


@given(worlds(), policies())
@settings(max_examples=60, deadline=None)
def test_every_reason_is_true_because_what_it_asks_for_places_the_session(world: World, policy: Policy) -> None:
    by_id = {request.id: request for request in world.requests}
    decisions = world.plan(policy=policy)
    ledger = Ledger(world.nodes, world.running)
    running = list(world.running)
    for session, parts in placements(decisions).items():
        ledger.place(by_id[session], parts)
        running.append(run(by_id[session], parts, 100.0))
    for one in decisions:
        if isinstance(one, Wait):
            request = by_id[one.session_id]
            alone = World(world.nodes, [request], running)
            if one.why.code not in ("kept", "behind", "preempting"):
                assert not placements(alone.plan())
            if one.why.code == "preempting":
                leaving = {other.session_id for other in decisions if isinstance(other, Preempt)}
                better = replace(alone, running=[held for held in running if held.id not in leaving])
            else:
                better = _satisfied(alone, one.why, request, ledger)
            assert placements(better.plan()), sentence(one.why)


@given(worlds(), policies())
@settings(max_examples=40, deadline=None)
def test_places_are_counted_through_and_read_well_in_both_languages(world: World, policy: Policy) -> None:
    waits = [one for one in world.plan(policy=policy) if isinstance(one, Wait)]
    queued = [one for one in waits if one.position]
    assert [one.position for one in queued] == list(range(1, len(queued) + 1))
    assert {one.of for one in queued} <= {len(queued)}
    for one in waits:
        english, korean = sentence(one.why), sentence(one.why, "ko")
        assert "?" not in english + korean
        assert "{" not in english + korean
        assert korean.split(" (대기")[0].endswith("니다")
        if one.position:
            assert english.endswith(f"; position {one.position} of {one.of}")
            assert korean.endswith(f"(대기 {one.of}개 중 {one.position}번째)")


def _told(world: World, policy: Policy = Policy()) -> dict[str, str]:
    return {one.session_id: sentence(one.why) for one in world.plan(policy=policy) if isinstance(one, Wait)}


def test_a_shortage_names_what_is_missing_where_and_the_place() -> None:
    busy = replace(
        gpu_node("gpu-07", 4), devices={"cuda": tuple(Device(at, "V100", 1000 * (at > 0)) for at in range(4))}
    )
    full = replace(gpu_node("gpu-01", 4), devices={"cuda": tuple(Device(at, "V100", 1000) for at in range(4))})
    asked = [Request("a", {"cpu": 1000}, 1, claim=gpus(2)), Request("b", {"cpu": 1000}, 2, claim=gpus(2, "V100"))]
    told = _told(World([busy, full], asked), Policy(group="v100"))
    assert told == {
        "a": "needs 2 GPUs; the best node of group v100 (gpu-07) has 1 free; position 1 of 2",
        "b": "needs 2 V100 GPUs; the best node of group v100 (gpu-07) has 1 free; position 2 of 2",
    }


def test_a_shortage_of_a_part_of_a_gpu_says_how_much_one_has_left() -> None:
    node = Node("n1", {"cpu": 4000}, devices={"cuda": (Device(0, "A100", 800), Device(1, "A100", 900))})
    told = _told(World([node], [Request("a", {"cpu": 1000}, 1, claim=part_of_gpu(300))]))
    assert (
        told["a"]
        == "needs 0.3 of a GPU; the best node of group default (n1) has at most 0.2 free on one GPU; position 1 of 1"
    )


def test_a_shortage_of_slots_reads_as_people_write_amounts() -> None:
    nodes = [Node("n1", {"cpu": 2000, "mem": 8 << 30}, {"cpu": 1500}), Node("n2", {"cpu": 2000}, {"cpu": 2000})]
    told = _told(World(nodes, [Request("a", {"cpu": 2000, "mem": 1 << 30}, 1)]))
    assert told["a"] == "needs 2 cpu; the best node of group default (n1) has 0.5 cpu free; position 1 of 1"


def test_a_gang_says_for_how_many_there_is_room() -> None:
    nodes = [gpu_node("n1", 4), gpu_node("n2", 4), gpu_node("n3", 1)]
    busy = [Request("first", {}, 0, claim=gpus(3))]
    placed = placements(World(nodes, busy).plan())
    running = [run(busy[0], placed["first"], 0)]

    def told(layout: Layout) -> str:
        return _told(World(nodes, [Request("s", {}, 1, claim=gpus(2), size=3, layout=layout)], running)).get("s", "")

    assert told(Layout.ANY) == (
        "needs 3 containers with 2 GPUs each at once; group default has room for 2; position 1 of 1"
    )
    assert told(Layout.SPREAD) == ("needs 3 nodes with 2 GPUs each at once; even empty, group default has 2 with room")
    assert told(Layout.ONE_NODE) == (
        "needs 3 containers with 2 GPUs each on one node; "
        "even empty, the best node of group default (n1) has room for 2"
    )


def test_far_back_in_the_queue_the_reason_stays_the_same_for_a_while() -> None:
    asked = [Request(f"s{number:04}", {"cpu": 1000}, number) for number in range(2000)]
    node = Node("n1", {"cpu": 1000}, {"cpu": 1000})
    first = {one.session_id: one for one in World([node], asked).plan() if isinstance(one, Wait)}
    later = {one.session_id: one for one in World([node], asked[1:]).plan() if isinstance(one, Wait)}
    changed = [name for name, wait in later.items() if first[name] != wait]
    assert len(changed) < EXACT + 60
    assert sentence(first["s0950"].why) == (
        "needs 1 cpu, which no node of group default has free now; position about 900"
    )
    assert sentence(first["s0950"].why, "ko") == (
        "cpu 1이 필요한데, 지금 default 그룹에는 그만큼 비어 있는 노드가 없습니다 (대기 약 900번째)"
    )
