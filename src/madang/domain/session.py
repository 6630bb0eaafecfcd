"""The session state machine and the rules that tell how a session ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from madang.domain.errors import InvalidTransition


class SessionKind(StrEnum):
    """What a session is for; it decides how it is scheduled and when it ends."""

    INTERACTIVE = "interactive"  # runs until somebody stops it
    BATCH = "batch"  # runs one command to its end
    INFERENCE = "inference"  # serves a model
    SYSTEM = "system"  # belongs to the platform itself


class SessionState(StrEnum):
    """Where a session stands: `pending > scheduled > preparing > running > terminating`, then one of five ends."""

    PENDING = "pending"  # waits for room; `reason` says why
    SCHEDULED = "scheduled"  # has a node and holds its slots
    PREPARING = "preparing"  # its environment, files and sandbox are being made
    RUNNING = "running"  # its process runs
    TERMINATING = "terminating"  # being stopped, or its last containers are ending
    SUCCEEDED = "succeeded"  # the main process ended with exit code 0
    FAILED = "failed"  # it ended otherwise, or could not be started
    STOPPED = "stopped"  # somebody stopped it while it ran
    CANCELLED = "cancelled"  # somebody stopped it before it ran
    LOST = "lost"  # the node or the record of its process is gone


class Layout(StrEnum):
    """How the containers of a session are spread over nodes."""

    ANY = "any"  # on as few nodes as possible
    ONE_NODE = "one-node"
    SPREAD = "spread"  # every container on another node


class ExitReason(StrEnum):
    """Why a container's main process is no more."""

    EXITED = "exited"  # ended by itself; `code` is its exit code
    SIGNAL = "signal"  # killed by `signal` from within, or by a fault
    OOM = "oom"  # killed by the kernel for passing the container's memory limit
    STOPPED = "stopped"  # ended after the platform was asked to stop it
    LAUNCH = "launch"  # never started; the message says why
    LOST = "lost"  # nothing is left that knows how it ended


ENDED: Final = frozenset(
    {
        SessionState.SUCCEEDED,
        SessionState.FAILED,
        SessionState.STOPPED,
        SessionState.CANCELLED,
        SessionState.LOST,
    }
)
"""States a session never leaves."""

HOLDING: Final = frozenset(
    {SessionState.SCHEDULED, SessionState.PREPARING, SessionState.RUNNING, SessionState.TERMINATING}
)
"""States in which a session holds slots of its nodes."""

_S = SessionState
TRANSITIONS: Final[Mapping[SessionState, frozenset[SessionState]]] = {
    _S.PENDING: frozenset({_S.SCHEDULED, _S.CANCELLED, _S.FAILED}),
    _S.SCHEDULED: frozenset({_S.PREPARING, _S.PENDING, _S.TERMINATING, _S.FAILED, _S.LOST}),
    _S.PREPARING: frozenset({_S.RUNNING, _S.PENDING, _S.TERMINATING, _S.FAILED, _S.LOST}),
    _S.RUNNING: frozenset({_S.TERMINATING, _S.SUCCEEDED, _S.FAILED, _S.LOST}),
    _S.TERMINATING: frozenset({_S.PENDING, _S.SUCCEEDED, _S.FAILED, _S.STOPPED, _S.CANCELLED, _S.LOST}),
    **{state: frozenset() for state in ENDED},
}
"""Every step a session may take. Back to PENDING means: launched anew later, under a higher epoch."""


def check_transition(now: SessionState, then: SessionState) -> None:
    """Raises InvalidTransition unless a session may step from `now` to `then`."""
    if then not in TRANSITIONS[now]:
        raise InvalidTransition(f"A session that is {now} cannot become {then}.")


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container's main process ended."""

    reason: ExitReason
    code: int | None = None  # 0-255, for EXITED (and STOPPED when it ended by itself on request)
    signal: int | None = None  # signal number, for SIGNAL, OOM and STOPPED by force
    message: str = ""  # one sentence for people

    @property
    def shell_code(self) -> int:
        """The exit code a shell would show: the code itself, 128 + signal, or 125 when it never ran to an end."""
        if self.code is not None:
            return self.code
        return 128 + self.signal if self.signal is not None else 125


def final_state(main: Exit, *, stop_requested: bool, ran: bool) -> SessionState:
    """The end of a session whose main container ended with `main`.

    `stop_requested`: somebody asked to stop it; `ran`: it has been RUNNING. A stop request decides the name of the end
    unless the record of the process is lost; otherwise the exit code of the main process does.
    """
    if main.reason is ExitReason.LOST:
        return SessionState.LOST
    if stop_requested:
        return SessionState.STOPPED if ran else SessionState.CANCELLED
    if main.reason is ExitReason.EXITED and main.code == 0:
        return SessionState.SUCCEEDED
    return SessionState.FAILED
