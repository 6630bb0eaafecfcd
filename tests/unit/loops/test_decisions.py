"""What of a pass is worth writing, and when time alone makes another pass due."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from madang.db.rows import HeldDevice, LiveRow, PartRow
from madang.domain.devices import Share
from madang.domain.session import Layout, SessionKind, SessionState
from madang.domain.why import Why, WhyCode
from madang.loops.decisions import AT_ONCE, Reasons, batch_of, batches_of
from madang.loops.schedule import next_moment
from madang.scheduling.decisions import Expire, Placement, Preempt, Wait
from madang.scheduling.policy import Policy, Reservation, Window
from madang.scheduling.snapshot import Node, Part, Request, Snapshot

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def row(name: str = "a") -> LiveRow:
    return LiveRow(
        id=name,
        owner_id="u",
        owner="ann",
        name=f"session-{name}",
        kind=SessionKind.BATCH,
        state=SessionState.PENDING,
        reason="waits for its turn",
        waiting=None,
        environment="python",
        network="none",
        slots={"cpu": 1000},
        created_at=NOW,
        resource_group="default",
        models=(),
        size=1,
        layout=Layout.ANY,
        priority=0,
        start_at=None,
        max_seconds=None,
        deadline=None,
        preemptible=False,
        reservation=None,
        started_at=None,
        held_since=None,
        stop_requested_at=None,
        stop_grace_seconds=10,
        stop_reason="",
        preempted_for=None,
        project_id="p",
        project="default",
        domain_id="d",
        domain="default",
    )


def wait(name: str = "a", position: int = 1, of: int = 1, start: float | None = None, **values: str) -> Wait:
    why = Why(WhyCode.SHORTAGE, {"position": position, "of": of, **values})
    return Wait(name, why, position, of, start)


ROWS = {name: row(name) for name in "abc"}


def test_a_placement_says_what_each_container_holds_in_slots_and_devices() -> None:
    parts = (
        Part("node1", {"cpu": 1000}, "cuda", (Share(0, 1000), Share(3, 1000))),
        Part("node2", {"cpu": 1000}, "cuda", (Share(1, 300),)),
        Part("node2", {"cpu": 1000}),
    )
    [chosen] = batch_of([Placement("a", parts)], ROWS, Reasons()).placed
    assert chosen.parts == (
        PartRow(
            "node1",
            {"cpu": 1000, "cuda.shares": 2000, "cuda.device": 2},
            (HeldDevice("cuda", 0, 1000), HeldDevice("cuda", 3, 1000)),
        ),
        PartRow("node2", {"cpu": 1000, "cuda.shares": 300}, (HeldDevice("cuda", 1, 300),)),
        PartRow("node2", {"cpu": 1000}, ()),
    )


def test_who_gives_way_is_told_for_whom() -> None:
    [victim] = batch_of([Preempt("a", "b", 30)], ROWS, Reasons()).giving_way
    assert (victim.session_id, victim.for_session, victim.for_name, victim.grace_seconds) == ("a", "b", "session-b", 30)


@pytest.mark.parametrize(
    ("code", "end"),
    [(WhyCode.DEADLINE, SessionState.FAILED), (WhyCode.DEPENDENCY_FAILED, SessionState.CANCELLED)],
)
def test_who_waits_in_vain_ends(code: WhyCode, end: SessionState) -> None:
    [given_up] = batch_of([Expire("a", Why(code, {}))], ROWS, Reasons()).hopeless
    assert given_up.end is end
    assert given_up.reason


def test_a_new_reason_is_told_at_once_and_only_once() -> None:
    reasons = Reasons()
    [told] = reasons.news([wait(node="n1")], ROWS)
    reasons.written([told])
    assert reasons.news([wait(node="n1")], ROWS) == []
    assert not reasons.behind
    [again] = reasons.news([wait(node="n2")], ROWS)
    assert "n2" in again.reason


def test_what_has_been_told_before_a_restart_is_not_told_again() -> None:
    reasons = Reasons()
    [told] = reasons.news([wait()], ROWS)
    after = {"a": replace(row(), reason=told.reason, waiting=told.waiting)}
    assert Reasons().news([wait()], after) == []


def test_that_the_queue_has_moved_on_is_told_later() -> None:
    reasons = Reasons()
    reasons.written(reasons.news([wait("a"), wait("b", 2, 2)], ROWS))
    assert reasons.news([wait("b", 1, 1)], ROWS) == []
    assert reasons.behind
    [told] = reasons.moved_on()
    assert (told.session_id, told.waiting.position) == ("b", 1)
    reasons.written([told])
    assert not reasons.behind


def test_a_start_that_is_expected_at_nearly_the_same_time_is_no_news() -> None:
    reasons = Reasons()
    reasons.written(reasons.news([wait(start=1000.0)], ROWS))
    reasons.news([wait(start=1030.0)], ROWS)
    assert not reasons.behind
    reasons.news([wait(start=1100.0)], ROWS)
    assert reasons.behind


def test_thousands_of_reasons_are_told_bit_by_bit_the_head_first() -> None:
    rows = {f"s{number:05}": row(f"s{number:05}") for number in range(2500)}
    waits = [wait(name, place, 2500) for place, name in enumerate(rows, 1)]
    reasons = Reasons()
    first = reasons.news(waits, rows)
    assert [one.session_id for one in first] == list(rows)[:AT_ONCE]
    reasons.written(first)
    told = len(first)
    while reasons.behind:
        more = reasons.moved_on()
        reasons.written(more)
        told += len(more)
    assert told == 2500


def test_who_is_queued_anew_is_told_anew() -> None:
    reasons = Reasons()
    reasons.written(reasons.news([wait()], ROWS))
    reasons.forget("a")
    assert len(reasons.news([wait()], ROWS)) == 1


def _snapshot(*requests: Request) -> Snapshot:
    return Snapshot.of([Node("node1", {"cpu": 1000})], requests)


def _request(**fields: float) -> Request:
    return Request("a", {"cpu": 1}, **{"arrived": 0.0, **fields})  # type: ignore[arg-type]


def test_nothing_is_due_by_time_alone_where_no_time_was_named() -> None:
    assert next_moment(_snapshot(_request()), Policy(aging_seconds=0), 10.0) == float("inf")
    assert next_moment(_snapshot(), Policy(), 10.0) == float("inf")


@pytest.mark.parametrize(
    ("fields", "moment"),
    [
        ({"start_at": 50.0}, 50.0),
        ({"start_at": 5.0}, float("inf")),
        ({"deadline": 70.0}, 70.0),
        ({"deadline": 70.0, "max_seconds": 30.0}, 40.0),  # when it has to have begun
    ],
)
def test_the_times_of_sessions_make_a_pass_due(fields: dict[str, float], moment: float) -> None:
    assert next_moment(_snapshot(_request(**fields)), Policy(aging_seconds=0), 10.0) == moment


def test_the_times_of_the_group_make_a_pass_due() -> None:
    one = _snapshot(_request())
    window = Window("day", 0.0, 90.0)
    assert next_moment(one, Policy(aging_seconds=0, windows=(window,)), 10.0) == 90.0
    class_ = Reservation("class", 100.0, 200.0, frozenset({"ann"}))
    early = Policy(aging_seconds=0, reservations=(class_,), reservation_lead_seconds=30.0)
    assert next_moment(one, early, 10.0) == 70.0
    assert next_moment(one, early, 80.0) == 100.0
    assert next_moment(one, early, 150.0) == 200.0


def test_a_priority_that_rises_makes_a_pass_due() -> None:
    assert next_moment(_snapshot(_request()), Policy(aging_seconds=100.0), 10.0) == 100.0
    assert next_moment(_snapshot(_request()), Policy(aging_seconds=100.0), 130.0) == 200.0


def test_thousands_that_start_together_are_written_in_several_batches() -> None:
    part = (Part("node1", {"cpu": 1}),)
    batches = batches_of([Placement(f"s{number}", part) for number in range(2500)], {}, Reasons())
    assert [len(batch.placed) for batch in batches] == [AT_ONCE, AT_ONCE, 500]
    assert [one.session_id for batch in batches for one in batch.placed] == [f"s{number}" for number in range(2500)]
    assert batches_of([], {}, Reasons()) == []
