"""What each placement policy is for: which node and which device it prefers."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from madang.domain.devices import Claim, Share
from madang.scheduling.placement import losses
from madang.scheduling.placement.fgd import FgdPlacement
from madang.scheduling.plan import plan
from madang.scheduling.policy import PlacementName, Policy
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Device, Node, Request, Running, Snapshot
from madang.scheduling.state import ClusterState
from tests.unit.scheduling.worlds import gpu_node, gpus, part_of_gpu, placements, run


def place(
    placement: PlacementName, nodes: Iterable[Node], claim: Claim | None, usual: Iterable[Claim] = (), cpu: int = 1
) -> tuple[str, tuple[Share, ...]]:
    """Where a session goes when such sessions have been usual: node and devices."""
    state = ClusterState()
    for at, one in enumerate(usual):
        state.add(Request(f"usual{at}", {"cpu": 1}, 0.0, claim=one))
        state.drop(f"usual{at}")
    for node in nodes:
        state.set_node(node)
    state.snapshot()  # what is usual has been said
    state.add(Request("s", {"cpu": cpu}, 1.0, claim=claim))
    [part] = placements(plan(state.snapshot(), 2.0, Policy(placement=placement)))["s"]
    return part.node, part.shares


def gpus_with(name: str, *free: int, model: str = "A100", cpu: int = 64) -> Node:
    """A node with GPUs of which so many thousandths are free."""
    return Node(
        name, {"cpu": cpu}, devices={"cuda": tuple(Device(at, model, 1000 - one) for at, one in enumerate(free))}
    )


def test_pack_fills_the_node_and_the_device_with_least_left() -> None:
    nodes = [gpus_with("a", 1000, 1000), gpus_with("b", 1000, 600, 300), gpus_with("c", 1000, 200, 500)]
    assert place("pack", nodes, part_of_gpu(300)) == ("c", (Share(2, 300),))


def test_pack_keeps_sessions_without_devices_off_free_ones() -> None:
    nodes = [gpu_node("a", 4), gpu_node("b", 0, cpu=128_000), gpus_with("c", 0, 0, cpu=200_000)]
    assert place("pack", nodes, None)[0] == "b"


def test_spread_takes_the_emptiest_node_and_device() -> None:
    nodes = [gpus_with("a", 1000, 100), gpus_with("b", 700, 900), gpus_with("c", 500, 1000)]
    assert place("spread", nodes, part_of_gpu(300)) == ("b", (Share(1, 300),))


def test_spread_goes_by_the_part_that_is_free_not_by_the_amount() -> None:
    nodes = [Node("large", {"cpu": 100}, {"cpu": 60}), Node("small", {"cpu": 10}, {"cpu": 2})]
    assert place("spread", nodes, None)[0] == "small"


HALVES = [part_of_gpu(470)] * 5 + [part_of_gpu(530)] * 5 + [gpus(1)] * 5


def test_fgd_leaves_remainders_that_others_fill() -> None:
    """Best fit would put 470 on the device with 550 free, and leave 80 that nobody asks for."""
    nodes = [gpus_with("a", 550, 1000), gpus_with("b", 1000, 1000)]
    node, shares = place("fgd", nodes, part_of_gpu(470), HALVES)
    assert (node, shares) != ("a", (Share(0, 470),))
    assert place("pack", nodes, part_of_gpu(470)) == ("a", (Share(0, 470),))


def test_fgd_takes_the_device_that_is_just_large_enough() -> None:
    nodes = [gpus_with("a", 1000, 1000), gpus_with("b", 530, 470), gpus_with("c", 1000, 530)]
    assert place("fgd", nodes, part_of_gpu(470), HALVES) == ("b", (Share(1, 470),))


def test_fgd_does_not_strand_free_gpus_by_taking_all_their_cpu() -> None:
    nodes = [gpus_with("a", 1000, 1000, cpu=6), gpus_with("b", 0, 0, cpu=64), gpus_with("c", 1000, 1000, cpu=64)]
    assert place("fgd", nodes, None, [gpus(1)], cpu=5)[0] == "b"
    assert place("fgd", [nodes[0], nodes[2]], None, [gpus(1)], cpu=5)[0] == "c"


def test_fgd_keeps_whole_nodes_for_those_who_need_several_devices() -> None:
    nodes = [gpu_node("a", 4), gpus_with("b", 1000, 0, 0, 0)]
    assert place("fgd", nodes, gpus(1), [gpus(1)] * 3 + [gpus(4)])[0] == "b"


def test_fgd_keeps_models_for_those_who_insist_on_them() -> None:
    nodes = [gpus_with("a", 1000, model="A100"), gpus_with("b", 1000, model="T4")]
    assert place("fgd", nodes, part_of_gpu(500), [gpus(1, "A100")] * 5 + [gpus(1)])[0] == "b"
    assert place("fgd", nodes, part_of_gpu(500), [gpus(1, "T4")] * 5 + [gpus(1)])[0] == "a"


def test_fgd_chooses_among_unlike_devices_of_a_node() -> None:
    node = Node("n", {"cpu": 8}, devices={"cuda": (Device(0, "A100"), Device(1, "T4"), Device(2, "T4", used=100))})
    usual = [gpus(1, "A100")] * 5 + [part_of_gpu(300)] * 5
    assert place("fgd", [node], part_of_gpu(300), usual)[1] == (Share(2, 300),)


def test_fgd_places_what_nobody_has_asked_for_before() -> None:
    nodes = [gpus_with("a", 1000, 300), Node("b", {"cpu": 4}, devices={"tpu": (Device(0),)})]
    assert place("fgd", nodes, part_of_gpu(123), [Claim("tpu", 1, 1000)] * 50) == ("a", (Share(1, 123),))
    assert place("fgd", nodes, Claim("tpu", 1, 1000), HALVES) == ("b", (Share(0, 1000),))


@pytest.mark.parametrize("ahead", [2, 64])
def test_fgd_decides_the_same_when_it_has_to_forget_shapes(ahead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More shapes than are remembered, or looked at ahead, asked for in turn, with the room changing meanwhile."""
    monkeypatch.setattr(losses, "_SHAPES", 3)
    monkeypatch.setattr("madang.scheduling.placement.fgd._EAGER", ahead)
    nodes = [gpus_with("a", 700, 1000, 250), gpus_with("b", 1000, 1000), gpus_with("c", 500, 300)]
    rows = [
        Request(f"s{at:02}", {"cpu": 1 + at % 3}, float(at), claim=part_of_gpu(50 + at % 7 * 60)) for at in range(20)
    ]
    few = placements(plan(Snapshot.of(nodes, rows), 30.0, Policy(placement="fgd")))
    monkeypatch.undo()
    assert few == placements(plan(Snapshot.of(nodes, rows), 30.0, Policy(placement="fgd")))
    assert len(few) == 20


def test_fgd_remembers_no_more_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy group shows ever new contents of nodes; what is known of them is forgotten before it fills the memory."""
    policy, sizes = FgdPlacement(), []
    monkeypatch.setattr("madang.scheduling.placement.fgd._CONTENTS", 8)
    state = ClusterState()
    for name in ("a", "b"):
        state.set_node(gpu_node(name, 2))
    for at in range(60):
        request = Request(f"s{at}", {"cpu": at + 1}, float(at), claim=part_of_gpu(100))
        state.add(request)
        snapshot = state.snapshot()
        room = Room(snapshot)
        chooser = policy.begin(room)
        [form] = snapshot.requests.form.tolist()
        node = chooser.choose(snapshot.forms[form].shape, room.fitting(snapshot.forms[form].shape))
        shares = chooser.devices(snapshot.forms[form].shape, node)
        [placed] = plan(snapshot, 0.0, Policy(placement="fgd"))
        parts = placements([placed])[request.id]
        assert (snapshot.nodes[node], shares) == (parts[0].node, parts[0].shares)
        state.start(run(request, parts, float(at)))
        if at >= 10:
            state.end(f"s{at - 10}")
        sizes.append(max(len(one) for one in policy._known.values()))
    assert max(sizes) <= 8 + 2 * 2 + 2


def test_a_running_session_is_part_of_what_is_usual() -> None:
    """After a restart of the manager nobody remembers requests, but what runs was asked for once."""
    nodes = [gpus_with("a", 550, 1000), gpu_node("b", 3)]
    state = ClusterState()
    for node in nodes:
        state.set_node(node)
    for at in range(3):
        parts = placements(plan(Snapshot.of([gpu_node("b", 3)], [Request("x", {}, 0.0, claim=gpus(1))]), 0.0))["x"]
        state.start(Running(f"r{at}", tuple(parts)))
    asks = state.snapshot().demand.asks
    assert [(ask.count, ask.milli) for ask in asks] == [(1, 1000)]
