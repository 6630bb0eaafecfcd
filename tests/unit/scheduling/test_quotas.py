"""Nobody gets more than a quota allows, and who waits for one is in nobody's way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madang.domain.devices import Share
from madang.domain.session import SessionKind
from madang.domain.slots import parse_amount
from madang.domain.why import WhyCode, sentence
from madang.scheduling.decisions import Decision, Placement, Preempt, Wait
from madang.scheduling.explain import EXACT
from madang.scheduling.plan import plan
from madang.scheduling.policy import Policy
from madang.scheduling.quotas import Quotas, Subject, Tally, held_by
from madang.scheduling.snapshot import Part, Request, Running
from tests.unit.scheduling.worlds import (
    QUEUES,
    World,
    gpu_node,
    gpus,
    part_of_gpu,
    placements,
    policies,
    requests,
    run,
    worlds,
)

NOW = 100.0
KIM = Subject("user", "kim")
SUBJECTS = (
    Subject("user", "ann"),
    Subject("user", "bob"),
    Subject("member", "ann", "p"),
    Subject("project", "p"),
    Subject("project", "q"),
    Subject("domain", "d"),
)
ENOUGH = 10**9


def allowances() -> st.SearchStrategy[dict[Subject, dict[str, int]]]:
    """Quotas that are often too small for all who wait, but seldom for one of them."""
    amounts = st.fixed_dictionaries(
        {"cpu": st.integers(4, 16)},
        optional={"mem": st.integers(0, 6), "cuda.shares": st.sampled_from([0, 700, 1000, 2000, 3000, 4500])},
    )
    return st.dictionaries(st.sampled_from(SUBJECTS), amounts, min_size=1, max_size=3)


@st.composite
def roomy(draw: st.DrawFn) -> World:
    """A group in which quotas are all that anybody can wait for."""
    asked = draw(requests(12))
    some = [replace(one, needs=frozenset(), claim=gpus(one.claim.count) if one.claim else None) for one in asked]
    return World([gpu_node(f"n{at}", 64, cpu=500, mem=500) for at in range(3)], some)


def any_world() -> st.SearchStrategy[World]:
    return st.one_of(worlds(), roomy())


@st.composite
def elsewhere(draw: st.DrawFn) -> list[Running]:
    """Sessions in other resource groups, on nodes that this one does not know."""
    return [
        run(one, (Part("far", one.slots, "cuda", (Share(at, 500),)),), 0.0)
        for at, one in enumerate(draw(requests(3, prefix="far", plain=True)))
    ]


def _held(subject: Subject, sessions: Iterable[Request | Running], slot: str) -> int:
    """What a bookkeeper who knows nothing of tallies writes down."""
    total = 0
    for one in sessions:
        mine = {
            "user": one.user == subject.name,
            "project": one.project == subject.name,
            "domain": one.domain == subject.name,
            "member": (one.user, one.project) == (subject.name, subject.project),
        }[subject.kind]
        if mine and isinstance(one, Running):
            for part in one.parts:
                shares = sum(share.milli for share in part.shares if part.kind == "cuda")
                total += shares if slot == "cuda.shares" else part.slots.get(slot, 0)
        elif mine and isinstance(one, Request):
            claim = one.claim if one.claim and one.claim.kind == "cuda" else None
            each = (claim.total if claim else 0) if slot == "cuda.shares" else one.slots.get(slot, 0)
            total += each * one.size
    return total


def _limited(policy: Policy, allowed: Mapping[Subject, Mapping[str, int]], held: Iterable[Running]) -> Policy:
    return replace(policy, quotas=Quotas(allowed, Tally.of(held)))


@given(any_world(), elsewhere(), allowances(), policies())
@settings(max_examples=80, deadline=None)
def test_no_pass_takes_anybody_beyond_a_quota(
    world: World, far: list[Running], allowed: dict[Subject, dict[str, int]], policy: Policy
) -> None:
    before = [*world.running, *far]
    decisions = world.plan(NOW, _limited(policy, allowed, before))
    by_id = {request.id: request for request in world.requests}
    after = [*before, *(run(by_id[name], parts, NOW) for name, parts in placements(decisions).items())]
    # Who others give way to has been promised what it asks for.
    coming = [by_id[name] for name in {one.for_session for one in decisions if isinstance(one, Preempt)}]
    for subject, most in allowed.items():
        for slot, amount in most.items():
            had = _held(subject, before, slot)
            has = _held(subject, [*after, *coming], slot)
            assert has == had or has <= amount, f"{subject} holds {has} of {slot} and may hold {amount}"


@given(any_world(), elsewhere(), allowances(), policies())
@settings(max_examples=80, deadline=None)
def test_who_waits_for_a_quota_is_told_what_is_missing_and_gets_it_when_it_is_raised(
    world: World, far: list[Running], allowed: dict[Subject, dict[str, int]], policy: Policy
) -> None:
    before = [*world.running, *far]
    decisions = world.plan(NOW, _limited(policy, allowed, before))
    by_id = {request.id: request for request in world.requests}
    running = [*world.running, *(run(by_id[name], parts, NOW) for name, parts in placements(decisions).items())]
    coming = [by_id[name] for name in {one.for_session for one in decisions if isinstance(one, Preempt)}]
    for one in decisions:
        if not isinstance(one, Wait) or one.why.code is not WhyCode.QUOTA:
            continue
        request, values = by_id[one.session_id], one.why.values
        subject = Subject(values["subject"], str(values["name"]), str(values.get("project", "")))  # type: ignore[arg-type]
        asked, most = _read(values["slots"]), dict(allowed[subject])
        assert {slot: most[slot] for slot in asked} == _read(values["slots_allowed"])
        kept = _read(values.get("slots_kept", ""))
        for slot, held in _read(values["slots_held"]).items():
            assert held == _held(subject, [*running, *far], slot)
            assert kept.get(slot, 0) == _held(subject, coming, slot)
            assert asked[slot] == _held(subject, [request], slot) > most[slot] - held - kept.get(slot, 0)
            most[slot] = held + asked[slot]
        alone = World(world.nodes, [request], running)
        assert not placements(alone.plan(NOW, _limited(policy, allowed, [*running, *far]))) or kept
        raised = alone.plan(NOW, _limited(policy, {**allowed, subject: most}, [*running, *far]))
        for other in raised:
            if isinstance(other, Wait) and other.why.code is WhyCode.QUOTA:
                assert other.why.values["subject"] != subject.kind, sentence(other.why)


def _read(written: object) -> dict[str, int]:
    """Read `2 GPU, 8 mem`; amounts of memory are plain bytes here."""
    parts = [part.split(" ", 1) for part in str(written).split(", ") if part]
    names = {"GPU": "cuda.shares"}
    return {names.get(word, word): parse_amount(names.get(word, word), amount) for amount, word in parts}


@given(worlds(), policies())
@settings(max_examples=40, deadline=None)
def test_quotas_that_nobody_reaches_change_nothing(world: World, policy: Policy) -> None:
    allowed = {subject: dict.fromkeys(("cpu", "mem", "cuda.shares"), ENOUGH) for subject in SUBJECTS}
    assert world.plan(NOW, _limited(policy, allowed, world.running)) == world.plan(NOW, policy)


@given(any_world(), elsewhere(), allowances(), policies())
@settings(max_examples=50, deadline=None)
def test_all_others_are_decided_on_as_if_those_who_wait_for_a_quota_were_not_there(
    world: World, far: list[Running], allowed: dict[Subject, dict[str, int]], policy: Policy
) -> None:
    limited = _limited(policy, allowed, [*world.running, *far])
    decisions = world.plan(NOW, limited)
    over = {one.session_id for one in decisions if isinstance(one, Wait) and one.why.code is WhyCode.QUOTA}
    others = World(world.nodes, [one for one in world.requests if one.id not in over], world.running)
    assert others.plan(NOW, limited) == [one for one in decisions if getattr(one, "session_id", "") not in over]


@given(any_world(), elsewhere(), allowances(), policies())
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_input_does_not_matter_and_neither_do_reasons(
    world: World, far: list[Running], allowed: dict[Subject, dict[str, int]], policy: Policy
) -> None:
    expected = world.plan(NOW, _limited(policy, allowed, [*world.running, *far]))
    random = Random(7)
    held = [*far, *world.running]
    for rows in (world.nodes, world.requests, world.running, held):
        random.shuffle(rows)
    limited = _limited(policy, dict(reversed(allowed.items())), held)
    assert world.plan(NOW, limited) == expected
    quick: list[Decision] = plan(world.snapshot(), NOW, limited, reasons=False)
    assert quick == [one for one in expected if not isinstance(one, Wait)]


@given(st.lists(requests(4), max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_a_tally_kept_session_by_session_is_one_made_from_scratch(batches: list[list[Request]], random: Random) -> None:
    tally, running = Tally(), dict[str, Running]()
    for number, batch in enumerate(batches):
        for one in batch:
            started = run(one, (Part("n", one.slots, "cuda", (Share(0, 300),)),) * one.size, 0.0)
            running[f"{number} {one.id}"] = started
            tally.start(started)
        before = tally.copy()
        counted = Tally.of(running.values()).everything()
        for name in random.sample(sorted(running), len(running) // 2):
            tally.end(running.pop(name))
        assert before.everything() == counted, "what ended later does not show in a copy"
    assert tally.everything() == Tally.of(running.values()).everything()
    for name in sorted(running):
        tally.end(running.pop(name))
    assert not tally.everything()


def _kim(name: str, count: int, **more: object) -> Request:
    request = Request(name, {}, 1.0, claim=gpus(count), user="kim", project="vision", domain="snu")
    return replace(request, **more)  # type: ignore[arg-type]


def _told(decisions: Iterable[Decision]) -> dict[str, str]:
    return {one.session_id: sentence(one.why) for one in decisions if isinstance(one, Wait)}


def _may(subject: Subject, gpus: float, *running: Running, **policy: object) -> Policy:
    allowed = {subject: {"cuda.shares": round(gpus * 1000)}}
    return replace(Policy(quotas=Quotas(allowed, Tally.of(running))), **policy)  # type: ignore[arg-type]


@pytest.mark.parametrize("queue", QUEUES)
def test_of_a_hundred_requests_exactly_as_many_start_as_the_quota_allows(queue: str) -> None:
    asked = [replace(_kim(f"s{at:03}", 1), arrived=float(at)) for at in range(100)]
    world = World([gpu_node(f"n{at}", 8) for at in range(20)], asked)
    decisions = world.plan(NOW, _may(KIM, 50, queue=queue))
    assert len(placements(decisions)) == 50
    assert set(_told(decisions).values()) == {"needs 1 GPU; user kim may hold 50 and holds 50"}


def test_far_back_a_reason_stays_the_same_while_others_come_and_go() -> None:
    asked = [replace(_kim(f"s{at:03}", 1), arrived=float(at)) for at in range(200)]
    nodes = [gpu_node(f"n{at}", 8) for at in range(20)]
    first = _told(World(nodes, asked).plan(NOW, _may(KIM, 50.5)))
    half = run(_kim("half", 1), (Part("far", {}, "cuda", (Share(0, 500),)),), 0.0)
    later = _told(World(nodes, asked[1:]).plan(NOW, _may(KIM, 50.5, half)))
    assert first["s060"] == "needs 1 GPU; user kim may hold 50.5 and holds 50"
    assert later["s060"] == "needs 1 GPU; user kim may hold 50.5 and holds 50.5"
    assert first["s150"] == later["s150"] == "needs 1 GPU; user kim may hold 50.5, of which too little is left"
    assert sum(one != first[name] for name, one in later.items()) <= EXACT


def test_whole_gpus_and_parts_count_together_wherever_they_are() -> None:
    far = run(_kim("far", 1), (Part("elsewhere", {}, "cuda", (Share(0, 1000), Share(1, 1000))),), 0.0)
    asked = [
        replace(_kim("half", 1), claim=part_of_gpu(500), arrived=1.0),
        replace(_kim("whole", 1), arrived=2.0),
        replace(_kim("rest", 1), claim=part_of_gpu(500), arrived=3.0),
    ]
    decisions = World([gpu_node("n1", 8)], asked).plan(NOW, _may(KIM, 3, far))
    assert list(placements(decisions)) == ["half", "rest"]
    assert _told(decisions) == {"whole": "needs 1 GPU; user kim may hold 3 and holds 3"}


def test_all_containers_of_a_session_count() -> None:
    world = World([gpu_node("n1", 8)], [_kim("gang", 2, size=3)])
    assert _told(world.plan(NOW, _may(KIM, 5)))["gang"] == "needs 6 GPUs; user kim may hold 5 and holds none"
    assert placements(world.plan(NOW, _may(KIM, 6)))


def test_a_member_of_one_project_is_free_in_others() -> None:
    asked = [_kim("here", 2), replace(_kim("there", 2), project="robots")]
    decisions = World([gpu_node("n1", 8)], asked).plan(NOW, _may(Subject("member", "kim", "vision"), 1))
    assert list(placements(decisions)) == ["there"]
    assert _told(decisions) == {"here": "needs 2 GPUs; a member of project vision may hold 1 and kim holds none there"}


def test_a_quota_lowered_below_what_is_held_keeps_only_more_of_that_slot_away() -> None:
    running = run(_kim("r", 4), (Part("n1", {"cpu": 8}, "cuda", tuple(Share(at, 1000) for at in range(4))),), 0.0)
    asked = [_kim("gpu", 1), Request("plain", {"cpu": 1}, 2.0, user="kim")]
    decisions = World([gpu_node("n1", 8)], asked, [running]).plan(NOW, _may(KIM, 2, running))
    assert list(placements(decisions)) == ["plain"]
    assert _told(decisions)["gpu"] == "needs 1 GPU; user kim may hold 2 and holds 4"


@pytest.mark.parametrize("backfill", [True, False])
def test_the_head_of_the_queue_that_waits_for_a_quota_blocks_nobody(backfill: bool) -> None:
    asked = [_kim("first", 4), Request("second", {}, 2.0, claim=gpus(3), user="lee")]
    decisions = World([gpu_node("n1", 4)], asked).plan(NOW, _may(KIM, 2, backfill=backfill))
    assert list(placements(decisions)) == ["second"]
    [wait] = [one for one in decisions if isinstance(one, Wait)]
    assert (wait.position, wait.of, wait.estimated_start) == (0, 0, None)


def test_no_room_is_kept_for_the_oldest_while_it_waits_for_a_quota() -> None:
    asked = [_kim("old", 4, arrived=0.0), Request("new", {}, 99_999.0, claim=gpus(1), user="lee")]
    world = World([gpu_node("n1", 4)], asked)
    assert list(placements(world.plan(100_000.0, _may(KIM, 2, queue="drf")))) == ["new"]


def _full_of_batch() -> World:
    asked = [Request(f"b{at}", {}, float(at), claim=gpus(1), user="lee") for at in range(4)]
    placed = placements(World([gpu_node("n1", 4)], asked).plan(0.0))
    return World([gpu_node("n1", 4)], [], [run(one, placed[one.id], 0.0) for one in asked])


def test_nobody_gives_way_to_who_may_hold_no_more() -> None:
    world = _full_of_batch()
    world.requests = [_kim(name, 1, kind=SessionKind.INTERACTIVE) for name in ("i", "j", "k")]
    decisions = world.plan(NOW, _may(KIM, 2, *world.running, preemption=True))
    assert [one.for_session for one in decisions if isinstance(one, Preempt)] == ["i", "j"]
    assert _told(decisions)["k"] == (
        "needs 1 GPU; user kim may hold 2 and holds none; 2 more kept for sessions that others give way to"
    )


def test_what_others_give_way_for_is_promised_until_they_are_gone() -> None:
    world = _full_of_batch()
    leaving = [replace(one, making_room_for="i", ends=130.0) if one.id == "b0" else one for one in world.running]
    more = Request("greedy", {"cpu": 1000}, 0.0, user="kim")
    world = World([*world.nodes, gpu_node("n2", 1)], [replace(more, claim=gpus(1))], leaving)
    typing = _kim("i", 1, kind=SessionKind.INTERACTIVE, claim=gpus(1, "A100"))
    world.nodes[1] = gpu_node("n2", 1, "T4")
    world.requests.append(typing)
    policy = _may(KIM, 1, *leaving, preemption=True)
    assert not placements(world.plan(NOW, policy)), "greedy would take what i is to get"
    gone = World(world.nodes, world.requests, [one for one in leaving if one.id != "b0"])
    stopped = Request("b0", {}, 0.0, claim=gpus(1), user="lee", gave_way_to="i")
    gone.requests.append(stopped)
    placed: list[Decision] = gone.plan(
        130.0, replace(policy, quotas=Quotas(policy.quotas.allowed, Tally.of(gone.running)))
    )
    assert [one.session_id for one in placed if isinstance(one, Placement)] == ["i", "b0"]


def test_devices_are_counted_by_kind_and_zeros_are_not_kept() -> None:
    one = Running("r", (Part("n", {"cpu": 0, "mem": 4}, "tpu", (Share(0, 1000),)), Part("m", {"mem": 4})), user="kim")
    assert held_by(one)["tpu.shares"] == 1000
    tally = Tally.of([one])
    assert tally.held(KIM) == {"mem": 8, "tpu.shares": 1000}
    assert tally.held(Subject("project", "")) == {}
