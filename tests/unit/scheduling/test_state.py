"""What is kept bit by bit is what would be made from scratch, whatever happened before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from madang.domain.devices import Share
from madang.domain.session import Layout
from madang.scheduling.decisions import Decision
from madang.scheduling.plan import plan
from madang.scheduling.policy import Policy, Reservation
from madang.scheduling.snapshot import Node, Part, Request, Running, Snapshot
from madang.scheduling.state import ClusterState
from tests.unit.scheduling.worlds import QUEUES, Ledger, gpu_node, gpus, nodes, placements, requests, run


def _described(snapshot: Snapshot) -> dict[str, object]:
    """Everything in a snapshot by name, in an order that does not depend on numbers given on the way."""
    requested = [
        (
            row,
            snapshot.shapes[(form := snapshot.forms[int(snapshot.requests.form[at])]).shape],
            snapshot.wanted[form.shape].tolist(),
            (form.size, form.layout),
            snapshot.users[int(snapshot.requests.user[at])],
            snapshot.projects[int(snapshot.requests.project[at])],
            [
                float(column[at])
                for column in (
                    snapshot.requests.kind,
                    snapshot.requests.priority,
                    snapshot.requests.arrived,
                    snapshot.requests.start_at,
                    snapshot.requests.max_seconds,
                    snapshot.requests.deadline,
                    snapshot.requests.blocked,
                )
            ],
        )
        for at, row in enumerate(snapshot.requests.rows)
    ]
    held = {snapshot.users[at]: row for at, row in enumerate(snapshot.held.tolist()) if any(row)}
    holdings = snapshot.holdings
    parts = sorted(
        (
            snapshot.nodes[int(holdings.node[at])],
            holdings.owner[at],
            int(holdings.yields[at]),
            snapshot.users[int(holdings.user[at])],
            float(holdings.started[at]),
            float(holdings.ends[at]),
            holdings.slots[at].tolist(),
            int(holdings.kind[at]),
            holdings.milli[at].tolist(),
        )
        for at in range(len(holdings))
    )
    return {
        "slots": snapshot.slots,
        "features": snapshot.features,
        "nodes": snapshot.nodes,
        "capacity": snapshot.capacity.tolist(),
        "used": snapshot.used.tolist(),
        "offers": snapshot.offers.tolist(),
        "devices": {
            kind: (
                columns.models,
                columns.index.tolist(),
                columns.model.tolist(),
                columns.numa.tolist(),
                columns.links,
                columns.used.tolist(),
            )
            for kind, columns in snapshot.devices.items()
        },
        "requests": requested,
        "held": held,
        "holdings": parts,
        "running": sorted(snapshot.running, key=lambda one: one.id),
        "giving way": snapshot.giving_way,
    }


@st.composite
def _histories(draw: st.DrawFn) -> list[tuple[str, object]]:
    """What happens to a resource group, as it could: who starts fits."""
    known = {node.name: node for node in draw(nodes(4))}
    waiting: dict[str, Request] = {}
    running: dict[str, Running] = {}
    steps: list[tuple[str, object]] = [("node", node) for node in known.values()]
    for at in range(draw(st.integers(0, 14))):
        kind = draw(st.sampled_from(["add", "add", "add", "start", "start", "drop", "end", "node", "gone", "look"]))
        if kind == "add":
            for one in draw(requests(2, prefix=f"s{at}-")):
                waiting[one.id] = one
                steps.append(("add", one))
        elif kind == "drop" and waiting:
            name = draw(st.sampled_from(sorted(waiting)))
            del waiting[name]
            steps.append(("drop", name))
        elif kind == "start":
            snapshot = Snapshot.of(known.values(), waiting.values(), running.values())
            for name, parts in placements(plan(snapshot, 100.0)).items():
                begun = run(waiting.pop(name), parts, float(at))
                running[name] = replace(begun, making_room_for=draw(st.sampled_from(["", "x"])))
                steps.append(("start", running[name]))
        elif kind == "end" and running:
            name = draw(st.sampled_from(sorted(running)))
            del running[name]
            steps.append(("end", name))
        elif kind == "node" and known:
            node = known[draw(st.sampled_from(sorted(known)))]
            changed = replace(node, capacity={**node.capacity, "cpu": draw(st.integers(8, 20))})
            known[node.name] = changed
            steps.append(("node", changed))
        elif kind == "gone" and known:
            name = draw(st.sampled_from(sorted(known)))
            del known[name]
            steps.append(("gone", name))
        else:
            steps.append(("look", None))
    return steps


@given(_histories())
@settings(max_examples=60, deadline=None)
def test_a_state_kept_bit_by_bit_is_the_same_as_one_made_from_scratch(steps: list[tuple[str, object]]) -> None:
    state = ClusterState()
    known: dict[str, Node] = {}
    waiting: dict[str, Request] = {}
    running: dict[str, Running] = {}
    for kind, what in steps:
        if kind == "node":
            assert isinstance(what, Node)
            state.set_node(what)
            known[what.name] = what
        elif kind == "gone":
            state.drop_node(str(what))
            del known[str(what)]
        elif kind == "add":
            assert isinstance(what, Request)
            state.add(what)
            waiting[what.id] = what
        elif kind == "drop":
            state.drop(str(what))
            del waiting[str(what)]
        elif kind == "start":
            assert isinstance(what, Running)
            state.start(what)
            waiting.pop(what.id)
            running[what.id] = what
        elif kind == "end":
            state.end(str(what))
            del running[str(what)]
        else:
            _same(state, known, waiting, running)
    _same(state, known, waiting, running)


_RESERVED = (
    Reservation("some", 0.0, 1e9, frozenset({"zoe"}), {}, 1, "cuda"),
    Reservation("of nothing", 0.0, 1e9, frozenset({"zoe"}), {}, 1, "npu"),
)


def _same(
    state: ClusterState, known: dict[str, Node], waiting: dict[str, Request], running: dict[str, Running]
) -> None:
    kept, fresh = state.snapshot(), Snapshot.of(known.values(), waiting.values(), running.values())
    if kept.slots == fresh.slots:  # a slot that only somebody who has left has named is remembered for a while
        assert _described(kept) == _described(fresh)
    for queue in QUEUES:
        policy = Policy(queue=queue, preemption=True, reservations=_RESERVED)
        assert _decided(kept, policy) == _decided(fresh, policy), "what is remembered from before changes nothing"


def _decided(snapshot: Snapshot, policy: Policy) -> list[Decision]:
    return plan(snapshot, 100.0, policy)


def test_a_snapshot_does_not_change_after_it_was_taken() -> None:
    state = ClusterState()
    state.set_node(gpu_node("n1", 4))
    state.add(Request("a", {"cpu": 1}, 1.0, claim=gpus(1), user="ann"))
    before = state.snapshot()
    first = _described(before)
    decided = plan(before, 5.0)
    [(name, parts)] = placements(decided).items()
    state.start(Running(name, parts, "ann"))
    state.add(Request("b", {"cpu": 1}, 1.0, user="bob"))
    state.snapshot()
    assert _described(before) == first
    assert plan(before, 5.0) == decided


def test_only_nodes_that_changed_have_another_version() -> None:
    state = ClusterState()
    for name in ("n1", "n2", "n3"):
        state.set_node(gpu_node(name, 4))
    before = state.snapshot()
    state.start(Running("r", (Part("n2", {"cpu": 1}, "cuda", (Share(0, 500),)),)))
    after = state.snapshot()
    assert after.lineage == before.lineage
    assert np.flatnonzero(after.versions != before.versions).tolist() == [1]
    assert after.versions.all()
    state.set_node(gpu_node("n3", 8))
    assert state.snapshot().lineage != before.lineage


def test_a_node_that_is_reported_anew_keeps_what_its_sessions_hold() -> None:
    state = ClusterState()
    state.set_node(gpu_node("n1", 2))
    state.start(Running("r", (Part("n1", {"cpu": 1}, "cuda", (Share(1, 1000),)),)))
    state.set_node(gpu_node("n1", 2, cpu=100))
    state.add(Request("a", {}, 1.0, claim=gpus(1)))
    assert [share.index for share in placements(plan(state.snapshot(), 5.0))["a"][0].shares] == [0]


def test_a_session_is_replaced_by_what_is_known_of_it_later() -> None:
    state = ClusterState()
    state.set_node(gpu_node("n1", 2))
    one = Running("r", (Part("n1", {"cpu": 1}, "cuda", (Share(1, 1000),)),), ends=None)
    state.start(one)
    state.start(replace(one, ends=50.0, making_room_for="x"))
    snapshot = state.snapshot()
    assert snapshot.holdings.ends.tolist() == [50.0]
    assert snapshot.devices["cuda"].used.tolist() == [[0, 1000]]
    assert snapshot.giving_way == {"x": 1}
    state.end("r")
    assert state.snapshot().giving_way == {}
    assert not state.snapshot().used.any()


def test_thousands_of_odd_requests_are_forgotten_again() -> None:
    state = ClusterState()
    state.set_node(Node("n1", {"cpu": 1}))
    for at in range(3000):
        state.add(Request(f"s{at}", {"cpu": 2 + at}, float(at)))
        state.snapshot()
        state.drop(f"s{at}")
    assert len(state.snapshot().shapes) < 1000


def test_what_runs_is_what_a_bookkeeper_would_write_down() -> None:
    asked = [Request(f"s{at}", {"cpu": 1}, float(at), claim=gpus(1), layout=Layout.SPREAD, size=2) for at in range(3)]
    known = [gpu_node("n1", 2), gpu_node("n2", 2)]
    state = ClusterState()
    for node in known:
        state.set_node(node)
    for request in asked:
        state.add(request)
    placed = placements(plan(state.snapshot(), 5.0))
    for name, parts in placed.items():
        state.start(run(asked[int(name[1:])], parts, 5.0))
    ledger = Ledger(known, [run(asked[int(name[1:])], parts, 5.0) for name, parts in placed.items()])
    snapshot = state.snapshot()
    free = (snapshot.capacity - snapshot.used)[snapshot.slots.index("cpu")].tolist()
    assert free == [ledger.free["n1"]["cpu"], ledger.free["n2"]["cpu"]]
    assert len(placed) == 2
