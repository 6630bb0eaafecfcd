"""An interactive session takes room from batch sessions: as little as it needs, where least work is lost."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings

from madang.domain.session import Layout, SessionKind
from madang.scheduling.decisions import Placement, Preempt, Wait
from madang.scheduling.plan import plan
from madang.scheduling.policy import Policy
from madang.scheduling.snapshot import Node, Request, Running
from madang.scheduling.state import ClusterState
from tests.unit.scheduling.worlds import Ledger, World, gpu_node, gpus, part_of_gpu, placements, requests, run, worlds

POLICY = Policy(group="g", preemption=True, grace_seconds=30.0)
NOW = 100.0


def _victims(world: World, policy: Policy = POLICY) -> dict[str, str]:
    return {one.session_id: one.for_session for one in world.plan(NOW, policy) if isinstance(one, Preempt)}


def _busy(*claims: int, started: tuple[float, ...] = (), nodes: tuple[Node, ...] = ()) -> World:
    """One node (or those given) full of batch sessions that hold so many GPUs each."""
    known = list(nodes or (gpu_node("n1", sum(claims)),))
    asked = [Request(f"b{at}", {}, float(at), claim=gpus(count)) for at, count in enumerate(claims)]
    placed = placements(World(known, asked).plan(0.0))
    times = started or (0.0,) * len(claims)
    return World(known, [], [run(one, placed[one.id], times[at]) for at, one in enumerate(asked)])


def _typing(count: int = 1, name: str = "i", **more: object) -> Request:
    request = Request(name, {}, 50.0, claim=gpus(count), kind=SessionKind.INTERACTIVE)
    return replace(request, **more)  # type: ignore[arg-type]


def test_the_session_that_loses_least_work_gives_way() -> None:
    world = _busy(1, 1, 1, 1, started=(10.0, 60.0, 90.0, 20.0))
    world.requests = [_typing()]
    assert _victims(world) == {"b2": "i"}
    [preempt] = [one for one in world.plan(NOW, POLICY) if isinstance(one, Preempt)]
    assert preempt.grace_seconds == 30.0
    [wait] = [one for one in world.plan(NOW, POLICY) if isinstance(one, Wait)]
    assert (wait.why.code, wait.estimated_start) == ("preempting", NOW + 30.0)


def test_one_large_victim_is_better_than_two_that_lose_more() -> None:
    world = _busy(1, 1, 2, started=(0.0, 0.0, 80.0))
    world.requests = [_typing(2)]
    assert _victims(world) == {"b2": "i"}, "2 GPUs for 20 s rather than 2 sessions for 100 s"


def test_nobody_gives_way_who_is_not_needed() -> None:
    world = _busy(1, 1, 2, started=(99.0, 98.0, 0.0))
    world.requests = [_typing(2)]
    assert _victims(world) == {"b0": "i", "b1": "i"}
    world.requests = [_typing(3)]
    assert set(_victims(world)) == {"b0", "b2"}, "b1 would be cheap as well, but is not needed"


def test_the_node_where_least_is_lost_is_cleared() -> None:
    nodes = (gpu_node("n1", 2), gpu_node("n2", 2))
    world = _busy(2, 2, started=(0.0, 50.0), nodes=nodes)
    world.requests = [_typing(2)]
    assert _victims(world) == {"b1": "i"}


def test_only_preemptible_batch_sessions_of_no_higher_priority_give_way() -> None:
    world = _busy(1, 1, 1, 1)
    world.requests = [_typing()]
    world.running = [
        replace(world.running[0], preemptible=False),
        replace(world.running[1], kind=SessionKind.INTERACTIVE),
        replace(world.running[2], kind=SessionKind.INFERENCE),
        replace(world.running[3], priority=1),
    ]
    assert _victims(world) == {}
    world.requests = [_typing(priority=1)]
    assert _victims(world) == {"b3": "i"}


def test_batch_sessions_and_groups_without_preemption_wait() -> None:
    world = _busy(1)
    world.requests = [_typing()]
    assert _victims(world, Policy()) == {}
    world.requests = [_typing(kind=SessionKind.BATCH)]
    assert _victims(world) == {}


def test_nobody_gives_way_to_who_would_start_in_the_grace_time_anyway() -> None:
    world = _busy(1, 1)
    world.requests = [_typing()]
    world.running[0] = replace(world.running[0], ends=NOW + 20.0)
    assert _victims(world) == {}


def test_while_some_give_way_nobody_else_does_and_the_room_is_kept() -> None:
    world = _busy(1, 1, 1, 1)
    world.requests = [_typing()]
    [victim] = _victims(world)
    leaving = [replace(one, making_room_for="i", ends=NOW + 30.0) if one.id == victim else one for one in world.running]
    greedy = Request("greedy", {}, 1.0, claim=gpus(1))
    later = World(world.nodes, [greedy, *world.requests], leaving)
    assert _victims(later) == {}
    [mine] = [one for one in later.plan(NOW, POLICY) if isinstance(one, Wait) and one.session_id == "i"]
    assert (mine.why.code, mine.estimated_start) == ("preempting", NOW + 30.0)
    stopped = Request(victim, {}, 2.0, claim=gpus(1), gave_way_to="i")
    gone = World(world.nodes, [greedy, stopped, *world.requests], [one for one in leaving if one.id != victim])
    assert list(placements(gone.plan(NOW + 30.0, POLICY))) == ["i"], "not who made room for it, nor who came before"


def test_when_one_of_two_has_left_the_room_is_still_for_whom_it_is_made() -> None:
    world = _busy(1, 1)
    world.requests = [_typing(2)]
    assert len(_victims(world)) == 2
    left = replace(world.running[0], making_room_for="i", ends=NOW + 30.0)
    greedy = Request("greedy", {}, 1.0, claim=gpus(1))
    half = World(world.nodes, [greedy, *world.requests], [left])
    assert not placements(half.plan(NOW + 10.0, POLICY))


def test_two_who_type_do_not_take_the_same_victim() -> None:
    world = _busy(1, 1, 1)
    world.requests = [_typing(1, "i"), _typing(1, "j")]
    victims = _victims(world)
    assert len(victims) == 2
    assert sorted(victims.values()) == ["i", "j"]


def test_a_part_of_a_gpu_takes_the_room_of_a_part() -> None:
    node = gpu_node("n1", 1)
    asked = [Request("b0", {}, 0.0, claim=part_of_gpu(500)), Request("b1", {}, 1.0, claim=part_of_gpu(400))]
    placed = placements(World([node], asked).plan(0.0))
    running = [run(one, placed[one.id], 0.0) for one in asked]
    typing = _typing(claim=part_of_gpu(400))
    assert _victims(World([node], [typing], running)) == {"b1": "i"}


def test_a_gang_gives_way_as_a_whole_and_counts_as_a_whole() -> None:
    nodes = [gpu_node("n1", 2), gpu_node("n2", 2)]
    gang = Request("gang", {}, 0.0, claim=gpus(1), size=2, layout=Layout.SPREAD)
    rest = [Request("b0", {}, 1.0, claim=gpus(1)), Request("b1", {}, 2.0, claim=gpus(1))]
    placed = placements(World(nodes, [gang, *rest]).plan(0.0))
    running = [run(one, placed[one.id], 0.0) for one in (gang, *rest)]
    assert set(_victims(World(nodes, [_typing()], running))) == {"b0"}, "a gang of two loses twice as much"


@given(worlds(), requests(1, prefix="i"))
@settings(max_examples=80, deadline=None)
def test_no_victim_could_be_spared_and_all_of_them_are_enough(world: World, asked: list[Request]) -> None:
    world.requests = [replace(one, kind=SessionKind.INTERACTIVE) for one in asked]
    # Who should have ended already may leave at any moment, so nobody else has to.
    world.running = [one for one in world.running if one.ends is None or one.ends > NOW]
    victims = set(_victims(world))
    if not victims:
        return
    [request] = world.requests
    assert all(one.kind is SessionKind.BATCH and one.preemptible for one in world.running if one.id in victims)
    assert not Ledger(world.nodes, world.running).fits(request), "nobody gives way for nothing"
    assert Ledger(world.nodes, [one for one in world.running if one.id not in victims]).fits(request)
    for spared in victims:
        assert not Ledger(world.nodes, [one for one in world.running if one.id not in victims - {spared}]).fits(request)


@given(worlds())
@settings(max_examples=30, deadline=None)
def test_nobody_gives_way_twice_and_every_one_to_an_interactive_session(world: World) -> None:
    chosen = [one for one in world.plan(NOW, POLICY) if isinstance(one, Preempt)]
    assert len({one.session_id for one in chosen}) == len(chosen)
    by_id = {request.id: request for request in world.requests}
    assert all(by_id[one.for_session].kind is SessionKind.INTERACTIVE for one in chosen)


def test_giving_way_comes_to_an_end() -> None:
    """The loser is requeued with its age, which must not start the whole thing anew."""
    state = ClusterState()
    state.set_node(gpu_node("n1", 2))
    waiting = {f"b{at}": Request(f"b{at}", {}, float(at), claim=gpus(1)) for at in range(3)}
    # Somebody of high priority, who never fits in, lets others grow old beside him.
    waiting["giant"] = Request("giant", {}, 0.0, claim=gpus(2), priority=1, needs=frozenset({"later"}))
    for request in waiting.values():
        state.add(request)
    waiting["i"] = _typing(2)
    running: dict[str, Running] = {}
    lost = 0
    policy = replace(POLICY, aging_seconds=20.0)
    for now in range(10, 300, 10):
        if now == 50:
            state.add(waiting["i"])
        for one in [one for one in running.values() if one.making_room_for]:
            state.end(one.id)
            del running[one.id]
            state.add(replace(waiting[one.id], gave_way_to=one.making_room_for))
        for decision in plan(state.snapshot(), float(now), policy):
            if isinstance(decision, Placement):
                name = decision.session_id
                running[name] = run(waiting[name], decision.parts, float(now))
                state.start(running[name])
            elif isinstance(decision, Preempt):
                lost += 1
                name = decision.session_id
                running[name] = replace(running[name], making_room_for=decision.for_session, ends=now + 5.0)
                state.start(running[name])
    assert set(running) == {"i"}
    assert lost == 2
