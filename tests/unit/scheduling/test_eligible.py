"""Who has to wait for something else than room is told so, and stands in nobody's way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from madang.domain.session import SessionKind
from madang.domain.why import Why, WhyCode, sentence
from madang.scheduling.decisions import Expire, Wait
from madang.scheduling.policy import Pause, Policy, Window
from madang.scheduling.snapshot import Node, Request
from tests.unit.scheduling.worlds import World, gpu_node, gpus, part_of_gpu, placements

NOW = 100.0
_FREE = Request("free", {"cpu": 1}, 9.0)


def _one(request: Request, policy: Policy = Policy(), now: float = NOW) -> Wait | Expire | None:
    """What is told to a request, beside another that is not hindered by it, even in a strict queue."""
    world = World([gpu_node("n1", 2)], [request, _FREE])
    decisions = world.plan(now, replace(policy, backfill=False))
    assert "free" in placements(decisions) or policy.windows
    return next((one for one in decisions if one.session_id == request.id and isinstance(one, Wait | Expire)), None)


def test_a_start_time_is_kept_to() -> None:
    request = Request("s", {"cpu": 1}, 1.0, start_at=200.0)
    wait = _one(request)
    assert isinstance(wait, Wait)
    assert (wait.why.code, wait.position, wait.estimated_start) == (WhyCode.NOT_BEFORE, 0, 200.0)
    assert _one(request, now=200.0) is None


def test_others_to_end_first_are_waited_for() -> None:
    why = Why(WhyCode.AFTER, {"name": "prepare"})
    wait = _one(Request("s", {"cpu": 1}, 1.0, blocked_by=why))
    assert isinstance(wait, Wait)
    assert (wait.why, wait.position) == (why, 0)


def test_what_had_to_succeed_and_did_not_ends_the_wait() -> None:
    why = Why(WhyCode.DEPENDENCY_FAILED, {"name": "prepare", "state": "failed"})
    assert _one(Request("s", {"cpu": 1}, 1.0, blocked_by=why)) == Expire("s", why)


def test_during_a_pause_nobody_starts_but_who_waits_in_vain_is_told() -> None:
    why = Why(WhyCode.MAINTENANCE, {})
    lost = Why(WhyCode.DEPENDENCY_FAILED, {"name": "prepare", "state": "failed"})
    requests = [
        _FREE,
        Request("early", {"cpu": 1}, 1.0, start_at=500.0),
        Request("lost", {"cpu": 1}, 1.0, blocked_by=lost),
    ]
    policy = Policy(pause=Pause(why, NOW + 1), preemption=True)
    world = World([gpu_node("n1", 2)], requests)
    decisions = world.plan(NOW, policy)
    assert not placements(decisions)
    told = {one.session_id: one.why for one in decisions if isinstance(one, Wait | Expire)}
    assert told == {"free": why, "early": why, "lost": lost}
    assert set(placements(world.plan(NOW + 1, policy))) == {"free"}


@pytest.mark.parametrize(
    ("deadline", "max_seconds", "start_at", "late"),
    [
        (150.0, 50.0, None, False),
        (149.0, 50.0, None, True),
        (100.0, None, None, False),
        (99.0, None, None, True),
        (150.0, 20.0, 140.0, True),
        (150.0, 10.0, 140.0, False),
    ],
)
def test_a_deadline_that_cannot_be_met_ends_the_wait(
    deadline: float, max_seconds: float | None, start_at: float | None, late: bool
) -> None:
    told = _one(Request("s", {"cpu": 1}, 1.0, deadline=deadline, max_seconds=max_seconds, start_at=start_at))
    assert isinstance(told, Expire) == late


DAY = Window("day", 0.0, 200.0, frozenset({SessionKind.INTERACTIVE}), "whole")
NIGHT = Window("night", 200.0, 400.0, frozenset({SessionKind.BATCH}), "fractions")
NEXT_DAY = replace(DAY, starts=400.0, ends=600.0)
CALENDAR = Policy(group="lab", windows=(DAY, NIGHT, NEXT_DAY))


@pytest.mark.parametrize(
    ("kind", "part", "now", "opens"),
    [
        (SessionKind.INTERACTIVE, False, 100.0, None),
        (SessionKind.INTERACTIVE, True, 100.0, "never"),
        (SessionKind.BATCH, True, 100.0, 200.0),
        (SessionKind.BATCH, True, 200.0, None),
        (SessionKind.INTERACTIVE, False, 200.0, 400.0),
        (SessionKind.BATCH, False, 200.0, "never"),
    ],
)
def test_the_calendar_tells_when_it_lets_a_session_start(
    kind: SessionKind, part: bool, now: float, opens: float | str | None
) -> None:
    told = _one(Request("s", {"cpu": 1}, 1.0, kind=kind, claim=part_of_gpu(300) if part else gpus(1)), CALENDAR, now)
    if opens is None:
        assert told is None
        return
    assert isinstance(told, Wait)
    assert told.why.code is WhyCode.CALENDAR
    assert told.estimated_start == (None if opens == "never" else opens)


def test_a_session_without_devices_is_no_matter_of_the_rule_for_gpus() -> None:
    assert _one(Request("s", {"cpu": 1}, 1.0, kind=SessionKind.INTERACTIVE), CALENDAR) is None


def test_the_calendar_reads_as_a_sentence() -> None:
    told = _one(Request("s", {"cpu": 1}, 1.0), CALENDAR, 0.0)
    assert isinstance(told, Wait)
    assert sentence(told.why) == (
        "the calendar of group lab does not let it start in its window day, until 1970-01-01 00:03 UTC"
    )


def test_who_may_not_start_yet_does_not_raise_the_others() -> None:
    """Waiting raises nobody above the highest priority of those whose turn could come."""
    world = World(
        [Node("n1", {"cpu": 1})],
        [
            Request("old", {"cpu": 1}, 0.0),
            Request("higher", {"cpu": 1}, 1.0, priority=1),
            Request("later", {"cpu": 1}, 0.0, priority=9, start_at=1e9),
        ],
    )
    assert list(placements(world.plan(20_000.0))) == ["old"]
