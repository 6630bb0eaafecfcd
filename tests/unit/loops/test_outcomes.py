"""What becomes of a session when its containers run and end, alone or together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madang.db.rows import ContainerRow, SessionRow
from madang.domain.container import ContainerState
from madang.domain.session import ENDED, Exit, ExitReason, SessionKind, SessionState
from madang.loops.outcomes import Life, Word
from madang.schemas.agent import ContainerStatus, ExitReport, Phase

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def session(size: int = 1, state: SessionState = SessionState.PREPARING) -> SessionRow:
    """A session with one container on each of node0, node1, ..."""
    containers = tuple(
        ContainerRow(f"c{rank}", "s", f"node{rank}", 1, ContainerState.PLANNED, None, None, None, rank)
        for rank in range(size)
    )
    return SessionRow(
        id="s",
        owner_id="u",
        owner="ann",
        name="train",
        kind=SessionKind.BATCH,
        state=state,
        reason="",
        environment="python",
        command=["true"],
        variables={},
        slots={"cpu": 1000, "mem": 1 << 30},
        processes=64,
        network="none",
        upload_id="upload",
        stop_requested_at=None,
        stop_grace_seconds=10,
        created_at=NOW,
        started_at=None,
        ended_at=None,
        deleted_at=None,
        containers=containers,
        size=size,
        held_since=NOW,
    )


def runs(rank: int = 0, epoch: int = 1) -> Word:
    status = ContainerStatus(container_id=f"c{rank}", epoch=epoch, phase=Phase.RUNNING, started_at=NOW)
    return Word(f"node{rank}", status)


def ends(
    rank: int = 0, code: int | None = 0, *, reason: ExitReason = ExitReason.EXITED, after: float = 1, began: bool = True
) -> Word:
    exit_ = ExitReport(reason=reason, code=code if reason is ExitReason.EXITED else None)
    if reason is ExitReason.LAUNCH:
        exit_ = ExitReport(reason=reason, message="The disk is full.")
    status = ContainerStatus(
        container_id=f"c{rank}",
        epoch=1,
        phase=Phase.ENDED,
        started_at=NOW if began else None,
        ended_at=NOW + timedelta(seconds=after),
        exit=exit_,
    )
    return Word(f"node{rank}", status)


def stopped(rank: int = 0, after: float = 2) -> Word:
    return ends(rank, reason=ExitReason.STOPPED, after=after)


def after(row: SessionRow, *words: Word) -> SessionRow:
    life = Life(row, "urgent")
    for word in words:
        life.hear(word, NOW)
    return life.row


def steps(row: SessionRow, *words: Word) -> list[SessionState]:
    life = Life(row)
    for word in words:
        life.hear(word, NOW)
    return [step.state for step in life.change().steps]


def running(size: int = 1) -> SessionRow:
    return after(session(size), *(runs(rank) for rank in range(size)))


def being_stopped(size: int = 1, **fields: object) -> SessionRow:
    return replace(running(size), state=SessionState.TERMINATING, stop_requested_at=NOW, **fields)  # type: ignore[arg-type]


def test_a_session_runs_when_all_of_its_containers_run() -> None:
    one = after(session(2), runs(0))
    assert one.state is SessionState.PREPARING
    both = after(one, runs(1))
    assert (both.state, both.started_at, both.upload_id) == (SessionState.RUNNING, NOW, None)


def test_a_container_that_ends_before_anybody_wrote_that_it_runs_has_run() -> None:
    assert steps(session(), ends()) == [SessionState.RUNNING, SessionState.SUCCEEDED]


def test_the_same_word_again_changes_nothing() -> None:
    assert steps(running(), runs(), runs()) == []
    done = after(running(), ends(code=3))
    assert after(done, ends(code=0)) == done


def test_words_of_another_launch_or_node_are_ignored() -> None:
    row = session()
    assert after(row, runs(epoch=2)) == row
    assert after(row, Word("elsewhere", runs().status)) == row


def test_when_the_main_container_ends_the_others_are_stopped_and_its_exit_counts() -> None:
    row = after(running(3), ends(0, 0))
    assert (row.state, row.reason) == (SessionState.TERMINATING, "its main container has ended")
    assert row.held_since is not None
    row = after(row, stopped(1))
    assert row.state is SessionState.TERMINATING
    row = after(row, stopped(2, after=7))
    assert (row.state, row.ended_at, row.held_since) == (SessionState.SUCCEEDED, NOW + timedelta(seconds=7), None)
    assert after(running(2), ends(0, 4), stopped(1)).reason == "ended with exit code 4"


def test_a_sub_container_that_succeeds_ends_nothing() -> None:
    row = after(running(2), ends(1, 0))
    assert row.state is SessionState.RUNNING
    assert after(row, ends(0, 0)).state is SessionState.SUCCEEDED


def test_a_sub_container_that_fails_fails_the_session_and_is_named() -> None:
    row = after(running(3), ends(2, 9))
    assert row.state is SessionState.TERMINATING
    row = after(row, stopped(0), stopped(1))
    assert (row.state, row.reason) == (SessionState.FAILED, "container 2 of 3 on node2: ended with exit code 9")


def test_a_sub_container_that_fails_because_the_main_one_has_ended_is_no_failure() -> None:
    row = after(running(2), ends(0, 0, after=1), ends(1, 1, after=2))
    assert row.state is SessionState.SUCCEEDED


def test_a_sub_container_that_is_lost_fails_the_session() -> None:
    row = after(running(2), ends(1, reason=ExitReason.LOST), stopped(0))
    assert row.state is SessionState.FAILED
    assert row.reason.startswith("container 1 of 2 on node1: the record of its process is gone")


def test_a_main_container_that_is_lost_is_the_sessions_loss() -> None:
    assert after(running(2), ends(0, reason=ExitReason.LOST), stopped(1)).state is SessionState.LOST


def test_one_container_that_cannot_be_launched_stops_the_others() -> None:
    row = after(session(2), runs(0), ends(1, reason=ExitReason.LAUNCH, began=False))
    assert row.state is SessionState.TERMINATING
    row = after(row, stopped(0))
    assert (row.state, row.reason) == (SessionState.FAILED, "container 1 of 2 on node1: The disk is full.")
    alone = after(session(), ends(reason=ExitReason.LAUNCH, began=False))
    assert (alone.state, alone.reason) == (SessionState.FAILED, "The disk is full.")


def test_who_passes_the_maximum_run_time_has_failed() -> None:
    row = after(being_stopped(stop_reason="time", max_seconds=7200.0), stopped())
    assert (row.state, row.reason) == (SessionState.FAILED, "passed its maximum run time of 2h")
    by_itself = after(being_stopped(stop_reason="time", max_seconds=7200.0), ends(code=0))
    assert by_itself.state is SessionState.SUCCEEDED


def test_who_gives_way_is_queued_anew() -> None:
    row = being_stopped(2, stop_reason="preempted", preempted_for="other", preemptible=True)
    row = after(row, stopped(0))
    assert row.state is SessionState.TERMINATING
    row = after(row, stopped(1))
    assert (row.state, row.reason, row.requeues) == (SessionState.PENDING, "gave way to urgent", 1)
    assert (row.started_at, row.held_since, row.stop_reason) == (None, None, "")
    assert row.preempted_for == "other"  # which goes first
    assert row.stop_requested_at is None


def test_who_may_have_to_give_way_keeps_its_upload_for_the_next_launch() -> None:
    row = after(replace(session(), preemptible=True), runs())
    assert row.upload_id == "upload"
    assert after(row, ends()).upload_id is None


def test_who_ends_by_itself_while_it_gives_way_has_ended() -> None:
    row = after(being_stopped(stop_reason="preempted", preempted_for="other"), ends(code=0))
    assert (row.state, row.requeues) == (SessionState.SUCCEEDED, 0)


@pytest.mark.parametrize("ran", [True, False])
def test_a_stop_that_somebody_asked_for_wins(ran: bool) -> None:
    row = being_stopped(stop_reason="user")
    if not ran:
        row = replace(session(state=SessionState.TERMINATING), stop_reason="user")
    end = after(row, ends(reason=ExitReason.STOPPED, began=ran))
    assert end.state is (SessionState.STOPPED if ran else SessionState.CANCELLED)


WORDS = st.builds(
    lambda rank, kind, code, when: {
        "runs": runs(rank),
        "exits": ends(rank, code, after=when),
        "stopped": stopped(rank, when),
        "oom": ends(rank, reason=ExitReason.OOM, after=when),
        "lost": ends(rank, reason=ExitReason.LOST, after=when),
        "launch": ends(rank, reason=ExitReason.LAUNCH, after=when, began=False),
    }[kind],
    st.integers(0, 3),
    st.sampled_from(["runs", "exits", "stopped", "oom", "lost", "launch"]),
    st.sampled_from([0, 1]),
    st.floats(0, 100),
)


@given(
    st.integers(1, 4),
    st.lists(WORDS, max_size=12),
    st.sampled_from(["", "user", "time", "preempted"]),
    st.booleans(),
)
def test_whatever_is_heard_room_is_held_until_the_last_container_has_ended(
    size: int, words: list[Word], why: str, stopping: bool
) -> None:
    row = session(size)
    if stopping:
        row = replace(row, state=SessionState.TERMINATING, stop_reason=why)  # type: ignore[arg-type]
    life = Life(row)
    for word in words:
        life.hear(word, NOW)
        alive = [one for one in life.row.containers if one.state is not ContainerState.ENDED]
        over = life.row.state in ENDED or life.row.state is SessionState.PENDING
        assert over == (not alive)
        assert (life.row.held_since is None) == over
    if life.row.state is SessionState.PENDING:
        assert why == "preempted"
    if life.row.state is SessionState.SUCCEEDED and life.row.containers[0].exit is not None:
        assert life.row.containers[0].exit == Exit(ExitReason.EXITED, 0)
