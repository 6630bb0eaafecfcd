"""Properties of a scheduling pass that hold whatever the nodes and the queue look like."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from madang.scheduling.explain import EXACT
from madang.scheduling.plan import Decision, Placement, Wait, plan
from madang.scheduling.snapshot import Node, Request, Snapshot

_slots = st.fixed_dictionaries(
    {"cpu": st.integers(0, 8000), "mem": st.integers(0, 64)}, optional={"cuda.device": st.integers(0, 4)}
)
_features = st.frozensets(st.sampled_from(["environment python", "network outbound"]))


@st.composite
def _nodes(draw: st.DrawFn) -> list[Node]:
    found = []
    for number in range(draw(st.integers(0, 6))):
        capacity = draw(_slots)
        # A node may have shrunk below what is taken of it.
        used = {name: draw(st.integers(0, amount + 2)) for name, amount in capacity.items()}
        found.append(Node(f"n{number}", capacity, used, draw(_features)))
    return found


@st.composite
def _requests(draw: st.DrawFn) -> list[Request]:
    return [
        Request(f"s{number:02}", draw(_slots), draw(st.integers(0, 5)), draw(_features))
        for number in range(draw(st.integers(0, 12)))
    ]


def _free(node: Node) -> dict[str, int]:
    return {name: max(amount - node.used.get(name, 0), 0) for name, amount in node.capacity.items()}


def _fits(request: Request, free: dict[str, int], node: Node) -> bool:
    return request.needs <= node.offers and all(amount <= free.get(name, 0) for name, amount in request.slots.items())


def _decide(nodes: list[Node], requests: list[Request]) -> list[Decision]:
    return plan(Snapshot.of(nodes, requests), 100)


@given(_nodes(), _requests())
@settings(max_examples=60, deadline=None)
def test_nothing_is_given_twice_and_every_session_gets_one_decision(nodes: list[Node], requests: list[Request]) -> None:
    decisions = _decide(nodes, requests)
    assert sorted(one.session_id for one in decisions) == sorted(request.id for request in requests)
    by_id = {request.id: request for request in requests}
    by_name = {node.name: node for node in nodes}
    free = {node.name: _free(node) for node in nodes}
    for one in decisions:
        if isinstance(one, Placement):
            request = by_id[one.session_id]
            assert _fits(request, free[one.node], by_name[one.node])
            for name, amount in request.slots.items():
                if amount:
                    free[one.node][name] -= amount


@given(_nodes(), _requests())
@settings(max_examples=60, deadline=None)
def test_nobody_overtakes(nodes: list[Node], requests: list[Request]) -> None:
    decisions = _decide(nodes, requests)
    order = [request.id for request in sorted(requests, key=lambda request: (request.arrived, request.id))]
    assert [one.session_id for one in decisions] == order
    kinds = [isinstance(one, Placement) for one in decisions]
    assert kinds == sorted(kinds, reverse=True)


@given(_nodes(), _requests(), st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_input_does_not_matter(nodes: list[Node], requests: list[Request], random: Random) -> None:
    expected = _decide(nodes, requests)
    random.shuffle(nodes)
    random.shuffle(requests)
    assert _decide(nodes, requests) == expected


@given(_nodes(), _requests())
@settings(max_examples=60, deadline=None)
def test_every_reason_is_true_because_what_it_asks_for_places_the_session(
    nodes: list[Node], requests: list[Request]
) -> None:
    decisions = _decide(nodes, requests)
    waiting = [one for one in decisions if isinstance(one, Wait)]
    by_id = {request.id: request for request in requests}
    for place, one in enumerate(waiting, start=1):
        assert one.reason.endswith(f"position {place} in the queue")
    if not waiting:
        return
    head = by_id[waiting[0].session_id]
    if "no node is ready" in waiting[0].reason:
        assert not nodes
        return
    if "no ready node offers" in waiting[0].reason:
        assert not any(head.needs <= node.offers for node in nodes)
        better = [replace(node, offers=node.offers | head.needs, capacity={}) for node in nodes]
        better.append(Node("new", head.slots, {}, head.needs))
        assert any(isinstance(one, Placement) for one in _decide(better, [head]))
        return
    # "the best node N has F free": as soon as N has what is needed, the session is placed.
    name = waiting[0].reason.split("the best node ")[1].split(" has ")[0]
    taken = {one.session_id for one in decisions if isinstance(one, Placement) and one.node == name}
    grown = []
    for node in nodes:
        if node.name == name:
            need = {
                slot: amount + sum(by_id[other].slots.get(slot, 0) for other in taken)
                for slot, amount in head.slots.items()
            }
            more = {
                slot: max(node.capacity.get(slot, 0), node.used.get(slot, 0) + amount) for slot, amount in need.items()
            }
            node = replace(node, capacity={**node.capacity, **more})
        grown.append(node)
    again = _decide([node if node.name == name else replace(node, capacity=node.used) for node in grown], [head])
    assert isinstance(again[0], Placement)


def test_the_reason_names_the_shortage_and_the_place() -> None:
    nodes = [
        Node("n1", {"cpu": 2000, "mem": 8 << 30}, {"cpu": 1500}),
        Node("n2", {"cpu": 1000, "mem": 1 << 30}, {"cpu": 1000}),
    ]
    asked = [Request("a", {"cpu": 2000, "mem": 1 << 30}, 1), Request("b", {"cpu": 500}, 2)]
    assert _decide(nodes, asked) == [
        Wait("a", "needs 2 cpu; the best node n1 has 0.5 free; position 1 in the queue"),
        Wait("b", "fits, but earlier sessions come first; position 2 in the queue"),
    ]


def test_far_back_in_the_queue_the_reason_stays_the_same_for_a_while() -> None:
    asked = [Request(f"s{number:04}", {"cpu": 1000}, number) for number in range(2000)]
    first = {one.session_id: one.reason for one in _decide([], asked) if isinstance(one, Wait)}
    later = {one.session_id: one.reason for one in _decide([], asked[1:]) if isinstance(one, Wait)}
    changed = [name for name, reason in later.items() if first[name] != reason]
    assert len(changed) < EXACT + 60


def test_nodes_are_filled_one_after_the_other() -> None:
    nodes = [Node("a", {"cpu": 4000}, {}), Node("b", {"cpu": 4000}, {"cpu": 2000})]
    asked = [Request(f"s{number}", {"cpu": 1000}, number) for number in range(3)]
    placed = [one.node for one in _decide(nodes, asked) if isinstance(one, Placement)]
    assert placed == ["b", "b", "a"]


def test_a_request_for_cpu_leaves_the_gpu_node_alone() -> None:
    nodes = [Node("gpu", {"cpu": 4000, "cuda.device": 4}, {}), Node("plain", {"cpu": 4000}, {})]
    [one] = _decide(nodes, [Request("s", {"cpu": 1000}, 1)])
    assert one == Placement("s", "plain")
