"""What an agent's words about containers mean for sessions; the same whoever brings them, and however often."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from madang.db.engine import Transaction
from madang.db.repositories import moves, sessions
from madang.db.rows import ContainerRow, SessionRow
from madang.domain.container import ContainerState
from madang.domain.durations import format_seconds
from madang.domain.session import ENDED, Exit, ExitReason, SessionState, final_state
from madang.domain.slots import format_amount
from madang.schemas.agent import ContainerStatus, ExitReport, Phase

_OVER = (ContainerState.ENDED, ContainerState.REMOVED)


@dataclass(frozen=True, slots=True)
class Word:
    """What the agent of a node says of a container."""

    node: str
    status: ContainerStatus


async def settle(transaction: Transaction, words: Sequence[Word], now: datetime) -> None:
    """Write down that containers run or have ended, and move their sessions.

    Words about an earlier launch, another node, or a session that has ended are ignored.
    """
    rows = await sessions.lock_owners(transaction, [word.status.container_id for word in words])
    ended_for = {row.preempted_for for row in rows if row.preempted_for is not None}
    names = await sessions.names(transaction.connection, ended_for) if ended_for else {}
    lives = [Life(row, names.get(row.preempted_for or "", "another session")) for row in rows]
    life_of = {container.id: life for life in lives for container in life.row.containers}
    for word in words:
        if word.status.container_id in life_of:
            life_of[word.status.container_id].hear(word, now)
    await moves.save(transaction, [life.change() for life in lives if life.changed], now)


def gone(node: str, container_id: str, epoch: int, reason: ExitReason, message: str = "") -> Word:
    """The word about a container that the agent does not have."""
    report = ExitReport(reason=reason, message=message)
    return Word(node, ContainerStatus(container_id=container_id, epoch=epoch, phase=Phase.ENDED, exit=report))


class Life:
    """A session that hears words about its containers. Pure: what becomes of it is `change`.

    It runs when all of its containers run. Its main container's end is its end; a sub container that fails is, too. In
    between the others are stopped, and it keeps what it holds until the last of them has ended.
    """

    def __init__(self, row: SessionRow, gives_way_to: str = "another session") -> None:
        self._before = row
        self._gives_way_to = gives_way_to
        self._steps: list[SessionRow] = []
        self.row = row

    @property
    def changed(self) -> bool:
        return self.row != self._before

    def change(self) -> moves.Change:
        """What is to be written."""
        return moves.Change(self._before, self.row, tuple(self._steps))

    def hear(self, word: Word, now: datetime) -> None:
        """Take in one word."""
        status = word.status
        meant = (status.container_id, status.epoch, word.node)
        container = next((one for one in self.row.containers if (one.id, one.epoch, one.node) == meant), None)
        if container is None or self.row.state in ENDED or self.row.state is SessionState.PENDING:
            return
        if status.phase is Phase.RUNNING and container.state is ContainerState.PLANNED:
            self._runs(container, status.started_at or now, now)
        elif status.phase is Phase.ENDED and container.state not in _OVER:
            self._ends(container, status, now)

    def _runs(self, container: ContainerRow, started_at: datetime, now: datetime) -> None:
        self._put(replace(container, state=ContainerState.RUNNING, started_at=started_at))
        self._run_if_all_do(now)

    def _run_if_all_do(self, now: datetime) -> None:
        started = [one.started_at for one in self.row.containers if one.started_at is not None]
        if self.row.state is SessionState.PREPARING and len(started) == len(self.row.containers):
            self._step(SessionState.RUNNING, now, happened_at=max(started))

    def _ends(self, container: ContainerRow, status: ContainerStatus, now: datetime) -> None:
        if self.row.state is SessionState.SCHEDULED:
            return  # nothing has been asked of a node yet
        ending = status.exit.to_domain() if status.exit is not None else Exit(ExitReason.LOST)
        self._put(
            replace(
                container,
                state=ContainerState.ENDED,
                started_at=status.started_at or container.started_at,
                ended_at=status.ended_at or now,
                exit=ending,
            )
        )
        if ending.reason is not ExitReason.LAUNCH:
            # It may have begun and ended before anybody wrote down that it runs.
            self._run_if_all_do(now)
        if all(one.state in _OVER for one in self.row.containers):
            self._conclude(now)
        elif self.row.state is not SessionState.TERMINATING and (container.rank == 0 or _failed(ending)):
            reason = "its main container has ended" if container.rank == 0 else _named(self.row, container, ending)
            self._step(SessionState.TERMINATING, now, reason)

    def _conclude(self, now: datetime) -> None:
        """Nothing of the session is left."""
        row = self.row
        main = row.containers[0]
        ending = main.exit or Exit(ExitReason.LOST)
        ended_at = max(one.ended_at or now for one in row.containers)
        by_request = ending.reason is ExitReason.STOPPED
        culprit = _culprit(row.containers)
        if row.stop_reason == "preempted" and by_request:
            self._step(SessionState.PENDING, now, f"gave way to {self._gives_way_to}")
            self.row = self._steps[-1] = replace(self.row, requeues=row.requeues + 1)
        elif row.stop_reason == "time" and by_request:
            limit = format_seconds(row.max_seconds or 0)
            self._step(SessionState.FAILED, now, f"passed its maximum run time of {limit}", happened_at=ended_at)
        elif row.stop_reason == "budget" and by_request:
            ran = row.started_at is not None or main.started_at is not None
            end = SessionState.STOPPED if ran else SessionState.CANCELLED
            reason = f"project {row.project} has spent its budget for this month"
            self._step(end, now, reason, happened_at=ended_at)
        elif culprit is not None and row.stop_reason == "" and ending.reason is not ExitReason.LOST:
            reason = _named(row, culprit, culprit.exit or Exit(ExitReason.LOST))
            self._step(SessionState.FAILED, now, reason, happened_at=ended_at)
        else:
            ran = row.started_at is not None or main.started_at is not None
            end = final_state(ending, stop_requested=row.stop_reason == "user", ran=ran)
            self._step(end, now, describe(ending, end, row), happened_at=ended_at)

    def _put(self, container: ContainerRow) -> None:
        others = self.row.containers
        self.row = replace(self.row, containers=tuple(container if one.id == container.id else one for one in others))

    def _step(
        self, then: SessionState, now: datetime, reason: str = "", *, happened_at: datetime | None = None
    ) -> None:
        self.row = moves.step(self.row, then, now, reason, happened_at=happened_at)
        self._steps.append(self.row)


def _failed(ending: Exit) -> bool:
    """Whether a container ended badly, and not because it was stopped."""
    if ending.reason is ExitReason.EXITED:
        return ending.code != 0
    return ending.reason is not ExitReason.STOPPED


def _culprit(ended: Iterable[ContainerRow]) -> ContainerRow | None:
    """The sub container that failed first, if that was before the main container ended."""
    main, *subs = ended
    failed = [one for one in subs if one.exit is not None and _failed(one.exit)]
    first = min(failed, key=lambda one: (one.ended_at is None, one.ended_at, one.rank), default=None)
    if first is None or main.ended_at is None or first.ended_at is None or first.ended_at > main.ended_at:
        return None
    return first


def _named(row: SessionRow, container: ContainerRow, ending: Exit) -> str:
    """What became of one container of several."""
    end = SessionState.LOST if ending.reason is ExitReason.LOST else SessionState.FAILED
    return f"container {container.rank} of {row.size} on {container.node}: {describe(ending, end, row)}"


def describe(ending: Exit, end: SessionState, row: SessionRow) -> str:
    """Why a session ended, in one sentence."""
    if ending.message:
        return ending.message
    if end is SessionState.SUCCEEDED:
        return ""
    if end is SessionState.STOPPED:
        return "stopped on request"
    if end is SessionState.CANCELLED:
        return "stopped before it ran"
    if end is SessionState.LOST:
        return "the record of its process is gone, so how it ended is not known"
    if ending.reason is ExitReason.OOM:
        return f"killed for using more memory than its {format_amount('mem', row.slots['mem'])}; ask for more mem"
    if ending.signal is not None:
        name = str(ending.signal)
        with suppress(ValueError):
            name = signal.Signals(ending.signal).name
        return f"killed by signal {name}"
    return f"ended with exit code {ending.code}" if ending.code is not None else "could not be started"
