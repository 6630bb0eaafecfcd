"""What every placement policy promises, whatever it prefers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madang.domain.devices import WHOLE, Claim, Share
from madang.scheduling.placement.base import PlacementPolicy
from madang.scheduling.placement.fgd import FgdPlacement
from madang.scheduling.placement.pack import PackPlacement
from madang.scheduling.placement.spread import SpreadPlacement
from madang.scheduling.plan import PLACEMENTS
from madang.scheduling.policy import PlacementName, Policy
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Device, Node, Part, Request, Running, Snapshot
from madang.scheduling.state import ClusterState
from tests.unit.scheduling.worlds import (
    Ledger,
    World,
    gpu_node,
    gpus,
    part_of_gpu,
    placements,
    requests,
    run,
    worlds,
)

NAMES: Sequence[PlacementName] = ("pack", "spread", "fgd")
POLICIES: Sequence[type[PlacementPolicy]] = (PackPlacement, SpreadPlacement, FgdPlacement)

Choice = tuple[int, tuple[Share, ...]]


def choices(policy: PlacementPolicy, snapshot: Snapshot) -> list[Choice | None]:
    """Where a policy puts the waiting containers one after the other; None: there is no room."""
    room = Room(snapshot)
    chooser = policy.begin(room)
    found: list[Choice | None] = []
    for number in snapshot.requests.form.tolist():
        shape = snapshot.forms[number].shape
        fits = room.fitting(shape)
        if not fits.any():
            found.append(None)
            continue
        node = chooser.choose(shape, fits)
        assert fits[node]
        shares = chooser.devices(shape, node)
        found.append((node, shares))
        room.take(shape, node, shares)
        chooser.taken(node)
    return found


def test_the_suite_knows_every_policy() -> None:
    assert set(NAMES) == set(PLACEMENTS)
    assert {type(policy) for policy in PLACEMENTS.values()} == set(POLICIES)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(world=worlds())
def test_containers_get_what_they_asked_for_and_nothing_is_given_twice(name: PlacementName, world: World) -> None:
    ledger = Ledger(world.nodes, world.running)
    asked = {one.id: one for one in world.requests}
    for session, parts in placements(world.plan(policy=Policy(placement=name))).items():
        ledger.place(asked[session], parts)


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=30, deadline=None)
@given(world=worlds(plain=True))
def test_whoever_fits_gets_a_node(policy: type[PlacementPolicy], world: World) -> None:
    ledger = Ledger(world.nodes, world.running)
    snapshot = world.snapshot()
    for request, choice in zip(snapshot.requests.rows, choices(policy(), snapshot), strict=True):
        assert (choice is not None) == ledger.fits(request)
        if choice is not None:
            kind = request.claim.kind if request.claim else ""
            wanted = {slot: amount for slot, amount in request.slots.items() if amount}
            ledger.place(request, [Part(snapshot.nodes[choice[0]], wanted, kind, choice[1])])


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(world=worlds(), chance=st.randoms(use_true_random=False))
def test_the_order_of_the_input_never_matters(name: PlacementName, world: World, chance: random.Random) -> None:
    other = World(
        chance.sample(world.nodes, len(world.nodes)),
        chance.sample(world.requests, len(world.requests)),
        chance.sample(world.running, len(world.running)),
    )
    policy = Policy(placement=name)
    assert placements(other.plan(policy=policy)) == placements(world.plan(policy=policy))


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=30, deadline=None)
@given(
    world=worlds(plain=True),
    more=st.lists(requests(prefix="x", plain=True), max_size=4),
    chance=st.randoms(use_true_random=False),
)
def test_what_a_policy_remembers_never_changes_what_it_decides(
    policy: type[PlacementPolicy], world: World, more: list[list[Request]], chance: random.Random
) -> None:
    warm = policy()
    state = ClusterState()
    for node in world.nodes:
        state.set_node(node)
    for one in world.running:
        state.start(one)
    running = [one.id for one in world.running]
    for number, batch in enumerate([world.requests, *more]):
        for request in batch:
            state.add(replace(request, id=f"{number}-{request.id}"))
        snapshot = state.snapshot()
        found = choices(warm, snapshot)
        assert found == choices(policy(), snapshot)
        for row, choice in zip(snapshot.requests.rows, found, strict=True):
            if choice is not None and chance.random() < 0.5:
                part = Part(snapshot.nodes[choice[0]], row.slots, row.claim.kind if row.claim else "", choice[1])
                state.start(run(row, (part,), float(number)))
                running.append(row.id)
        while running and chance.random() < 0.5:
            state.end(running.pop(chance.randrange(len(running))))


@pytest.mark.parametrize("name", NAMES)
def test_several_devices_of_a_session_are_linked_and_near_each_other(name: PlacementName) -> None:
    pairs = {0: 4, 4: 0, 1: 5, 5: 1, 2: 6, 6: 2, 3: 7, 7: 3}
    devices = tuple(Device(at, "A100", numa=at % 4 // 2, links=frozenset({pairs[at]})) for at in range(8))
    held = Running("a", (Part("n", {}, "cuda", (Share(0, 300),)),))
    world = World([Node("n", {"cpu": 8}, devices={"cuda": devices})], [Request("b", {}, 0.0, claim=gpus(2))], [held])
    [part] = placements(world.plan(policy=Policy(placement=name)))["b"]
    one, other = part.shares
    assert pairs[one.index] == other.index


@pytest.mark.parametrize("name", NAMES)
def test_a_share_comes_from_a_device_of_the_right_model(name: PlacementName) -> None:
    devices = (Device(0, "T4", used=500), Device(1, "A100"), Device(2, "A100", used=900))
    world = World(
        [Node("n", {"cpu": 8}, devices={"cuda": devices})],
        [Request("s", {"cpu": 1}, 0.0, claim=part_of_gpu(200, "A100"))],
    )
    [part] = placements(world.plan(policy=Policy(placement=name)))["s"]
    assert part.shares == (Share(1, 200),)


@pytest.mark.parametrize("name", NAMES)
def test_devices_of_several_kinds_are_not_mixed_up(name: PlacementName) -> None:
    nodes = [
        Node("both", {"cpu": 8}, devices={"cuda": (Device(3),), "tpu": (Device(5), Device(6))}),
        gpu_node("none", 0),
    ]
    claims = [Claim("tpu", 2, WHOLE), Claim("cuda", 1, 500), Claim("cuda", 1, 500), None]
    world = World(nodes, [Request(f"s{at}", {"cpu": 1}, float(at), claim=one) for at, one in enumerate(claims)])
    found = placements(world.plan(policy=Policy(placement=name)))
    assert [(part.kind, part.shares) for [part] in found.values()][:3] == [
        ("tpu", (Share(5, WHOLE), Share(6, WHOLE))),
        ("cuda", (Share(3, 500),)),
        ("cuda", (Share(3, 500),)),
    ]
    assert len(found) == 4
