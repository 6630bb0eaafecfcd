"""Reserved room is there for its members when they need it, and for others as long as they will be gone by then."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from madang.scheduling.decisions import Wait
from madang.scheduling.policy import Policy, Reservation
from madang.scheduling.snapshot import Node, Request
from tests.unit.scheduling.worlds import Ledger, World, gpu_node, gpus, part_of_gpu, placements, run, worlds

_HOUR = 3600.0
_NINE, _NOON = 9 * _HOUR, 12 * _HOUR
CLASS = Reservation("class", _NINE, _NOON, frozenset({"ann", "bob"}), {}, 4, "cuda")
POLICY = Policy(reservations=(CLASS,), reservation_lead_seconds=4 * _HOUR)


def _asked(name: str, count: int = 1, **more: object) -> Request:
    return replace(Request(name, {}, 0.0, claim=gpus(count)), **more)  # type: ignore[arg-type]


def _nodes() -> list[Node]:
    return [gpu_node("n1", 4), gpu_node("n2", 4)]


def _many(count: int, **more: object) -> list[Request]:
    return [replace(_asked(f"s{at}"), arrived=float(at), **more) for at in range(count)]  # type: ignore[arg-type]


def test_before_its_lead_nothing_is_kept() -> None:
    assert len(placements(World(_nodes(), _many(9)).plan(4.9 * _HOUR, POLICY))) == 8


def test_while_it_holds_others_see_only_what_is_left() -> None:
    world = World(_nodes(), _many(9))
    for now in (5 * _HOUR, _NINE, _NOON - 1):
        decisions = world.plan(now, POLICY)
        assert len(placements(decisions)) == 4
        assert len({part.node for parts in placements(decisions).values() for part in parts}) == 1
        why = {one.why.code for one in decisions if isinstance(one, Wait)}
        assert why == {"reserved"}
    assert len(placements(world.plan(_NOON, POLICY))) == 8


def test_the_reason_names_the_reservation_and_its_end() -> None:
    [wait] = [one for one in World([gpu_node("n1", 4)], _many(1)).plan(_NINE, POLICY) if isinstance(one, Wait)]
    assert (wait.why.code, wait.why.values["name"]) == ("reserved", "class")
    assert wait.why.values["until"] == "1970-01-01 12:00 UTC"
    assert wait.estimated_start == _NOON


def test_who_has_ended_by_its_start_may_use_the_room() -> None:
    world = World(_nodes(), _many(9, max_seconds=_HOUR))
    assert len(placements(world.plan(8 * _HOUR, POLICY))) == 8
    assert len(placements(world.plan(8 * _HOUR + 1, POLICY))) == 4


def test_members_use_the_room_and_what_they_use_is_not_kept_twice() -> None:
    members = _many(3, reservation="class", user="ann")
    nodes = _nodes()
    placed = placements(World(nodes, members).plan(_NINE, POLICY))
    running = [run(one, placed[one.id], _NINE) for one in members]
    others = placements(
        World(nodes, [_asked(f"o{at}", arrived=float(at)) for at in range(9)], running).plan(_NINE, POLICY)
    )
    assert len(others) == 4, "3 are used and 1 is kept"
    late = _asked("late", reservation="class", user="bob")
    rest = [run(_asked(name), parts, _NINE) for name, parts in others.items()]
    assert list(placements(World(nodes, [late], [*running, *rest]).plan(_NINE, POLICY))) == ["late"]


def test_devices_that_will_be_free_in_time_are_kept_rather_than_those_that_will_not() -> None:
    nodes = _nodes()
    endless = placements(World(nodes, [_asked("endless", 4)]).plan(0.0))
    running = [run(_asked("endless", 4), endless["endless"], 0.0)]
    decisions = World(nodes, _many(4), running).plan(_NINE, POLICY)
    assert not placements(decisions), "the free node is the reserved one"


def test_room_is_kept_of_the_right_models_and_with_its_share_of_slots() -> None:
    nodes = [gpu_node("n1", 4, "T4", cpu=8), gpu_node("n2", 4, "A100", cpu=8)]
    rule = replace(CLASS, claim_count=2, claim_models=("A100",), slots={"cpu": 6})
    policy = Policy(reservations=(rule,))
    cpu = [Request(f"c{at:02}", {"cpu": 1}, float(at)) for at in range(16)]
    placed = placements(World(nodes, cpu).plan(_NINE, policy))
    assert sorted(part.node for parts in placed.values() for part in parts) == ["n1"] * 8 + ["n2"] * 2
    whole = placements(
        World(nodes, [_asked("s", 2, claim=gpus(2, "A100")), _asked("t", claim=gpus(1, "A100"))]).plan(_NINE, policy)
    )
    assert list(whole) == ["s"]


def test_slots_alone_can_be_reserved_too() -> None:
    nodes = [Node("n1", {"cpu": 4}), Node("n2", {"cpu": 4})]
    policy = Policy(reservations=(Reservation("cpu", _NINE, _NOON, frozenset({"ann"}), {"cpu": 6}),))
    asked = [Request(f"c{at}", {"cpu": 1}, float(at)) for at in range(8)]
    assert len(placements(World(nodes, asked).plan(_NINE, policy))) == 2
    mine = [replace(one, reservation="cpu", user="ann") for one in asked]
    assert len(placements(World(nodes, mine).plan(_NINE, policy))) == 8


def test_two_reservations_keep_different_room_and_each_its_own() -> None:
    other = replace(CLASS, name="other", starts=_NINE + 1, users=frozenset({"eve"}))
    policy = Policy(reservations=(other, CLASS))
    both = [*_many(5, reservation="class"), *(_asked(f"o{at}", reservation="other") for at in range(5))]
    placed = placements(World(_nodes(), both).plan(_NINE + 2, policy))
    assert sum(name.startswith("s") for name in placed) == 4
    assert sum(name.startswith("o") for name in placed) == 4
    assert not placements(World(_nodes(), _many(1)).plan(_NINE + 2, policy))


def test_a_part_of_a_gpu_does_not_slip_into_a_reserved_one() -> None:
    world = World([gpu_node("n1", 4)], [_asked("part", claim=part_of_gpu(100))])
    assert not placements(world.plan(_NINE, POLICY))


@given(worlds(), st.integers(1, 3), st.sampled_from([(), ("A100",)]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_others_never_touch_what_members_could_still_use(
    world: World, count: int, models: tuple[str, ...], slots: bool
) -> None:
    """Whatever else is asked for, as many devices as were free for the members are free for them afterwards."""
    rule = Reservation("r", 90.0, 1e6, frozenset({"zoe"}), {"cpu": 2} if slots else {}, count, "cuda", models)
    world.running = [replace(one, ends=None) for one in world.running]
    before, after = Ledger(world.nodes, world.running), Ledger(world.nodes, world.running)
    by_id = {request.id: request for request in world.requests}
    for name, parts in placements(world.plan(100.0, Policy(reservations=(rule,)))).items():
        after.place(by_id[name], parts)
    one = Request("member", {}, 0.0, claim=gpus(1, *models))

    def usable(ledger: Ledger) -> int:
        return sum(ledger.count(one, name) for name in ledger.nodes)

    assert usable(after) >= min(count, usable(before))


@given(worlds())
@settings(max_examples=40, deadline=None)
def test_members_are_served_as_if_there_were_no_reservation(world: World) -> None:
    rule = Reservation("r", 90.0, 1e6, frozenset({"zoe"}), {"cpu": 2}, 2, "cuda")
    world.requests = [replace(one, reservation="r") for one in world.requests]
    assert placements(world.plan(100.0, Policy(reservations=(rule,)))) == placements(world.plan(100.0))
