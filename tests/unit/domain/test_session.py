"""A session can reach every state, never leaves an end, and ends under the name its exit deserves."""

from __future__ import annotations

import itertools

import pytest

from madang.domain.errors import InvalidTransition
from madang.domain.session import (
    ENDED,
    HOLDING,
    TRANSITIONS,
    Exit,
    ExitReason,
    SessionState,
    check_transition,
    final_state,
)

S = SessionState


def _reachable(start: SessionState) -> set[SessionState]:
    seen = {start}
    edge = [start]
    while edge:
        found = TRANSITIONS[edge.pop()] - seen
        seen |= found
        edge.extend(found)
    return seen


def test_every_state_is_reached_from_the_first() -> None:
    assert set(TRANSITIONS) == set(S)
    assert _reachable(S.PENDING) == set(S)


@pytest.mark.parametrize("state", sorted(set(S) - ENDED))
def test_from_every_state_the_session_can_still_end(state: SessionState) -> None:
    assert _reachable(state) & ENDED


@pytest.mark.parametrize(("end", "then"), list(itertools.product(sorted(ENDED), S)))
def test_an_end_is_for_ever(end: SessionState, then: SessionState) -> None:
    with pytest.raises(InvalidTransition, match=f"that is {end} cannot become {then}"):
        check_transition(end, then)


@pytest.mark.parametrize(("now", "then"), list(itertools.product(S, S)))
def test_only_the_steps_of_the_table_are_taken(now: SessionState, then: SessionState) -> None:
    if then in TRANSITIONS[now]:
        check_transition(now, then)
    else:
        with pytest.raises(InvalidTransition):
            check_transition(now, then)


def test_slots_are_held_from_the_node_being_chosen_until_the_end() -> None:
    assert {S.SCHEDULED, S.PREPARING, S.RUNNING, S.TERMINATING} == HOLDING
    assert ENDED | HOLDING | {S.PENDING} == set(S)
    assert not ENDED & HOLDING


@pytest.mark.parametrize("state", sorted(HOLDING))
def test_a_vanished_node_can_be_told_from_any_state_that_needs_one(state: SessionState) -> None:
    assert S.LOST in TRANSITIONS[state]


def test_a_session_that_has_run_is_queued_again_only_after_it_was_stopped() -> None:
    assert S.PENDING not in TRANSITIONS[S.RUNNING]
    assert S.PENDING in TRANSITIONS[S.TERMINATING]
    assert not any(S.PENDING in TRANSITIONS[end] for end in ENDED)


OK = Exit(ExitReason.EXITED, code=0)
FAULT = Exit(ExitReason.EXITED, code=3)
KILLED = Exit(ExitReason.SIGNAL, signal=11)
OOM = Exit(ExitReason.OOM, signal=9)
ASKED = Exit(ExitReason.STOPPED, signal=15)
LAUNCH = Exit(ExitReason.LAUNCH, message="no such environment")
LOST = Exit(ExitReason.LOST)


@pytest.mark.parametrize(
    ("main", "stop_requested", "ran", "end"),
    [
        (OK, False, True, S.SUCCEEDED),
        (FAULT, False, True, S.FAILED),
        (KILLED, False, True, S.FAILED),
        (OOM, False, True, S.FAILED),
        (LAUNCH, False, False, S.FAILED),
        (LOST, False, False, S.LOST),
        (LOST, False, True, S.LOST),
        (OK, True, True, S.STOPPED),
        (FAULT, True, True, S.STOPPED),
        (OOM, True, True, S.STOPPED),
        (ASKED, True, True, S.STOPPED),
        (ASKED, True, False, S.CANCELLED),
        (LAUNCH, True, False, S.CANCELLED),
        (LOST, True, True, S.LOST),
        (LOST, True, False, S.LOST),
        (ASKED, False, True, S.FAILED),
    ],
)
def test_how_a_session_is_said_to_have_ended(main: Exit, stop_requested: bool, ran: bool, end: SessionState) -> None:
    assert final_state(main, stop_requested=stop_requested, ran=ran) is end


@pytest.mark.parametrize("main", [OK, FAULT, KILLED, OOM, ASKED, LAUNCH, LOST])
@pytest.mark.parametrize("stop_requested", [False, True])
@pytest.mark.parametrize("ran", [False, True])
def test_every_end_is_a_step_the_session_may_take(main: Exit, stop_requested: bool, ran: bool) -> None:
    now = S.TERMINATING if stop_requested else S.RUNNING
    check_transition(now, final_state(main, stop_requested=stop_requested, ran=ran))


@pytest.mark.parametrize(
    ("main", "code"),
    [
        (OK, 0),
        (FAULT, 3),
        (Exit(ExitReason.EXITED, code=255), 255),
        (KILLED, 139),
        (OOM, 137),
        (ASKED, 143),
        (Exit(ExitReason.STOPPED, code=0), 0),
        (LAUNCH, 125),
        (LOST, 125),
    ],
)
def test_the_exit_code_is_the_one_a_shell_would_show(main: Exit, code: int) -> None:
    assert main.shell_code == code
