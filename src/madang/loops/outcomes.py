"""What an agent's word about a container means for its session; the same whoever brings the word, and however often."""

from __future__ import annotations

import signal
from contextlib import suppress
from datetime import datetime

from madang.db.engine import Transaction
from madang.db.repositories import containers, sessions
from madang.db.rows import SessionRow
from madang.domain.container import ContainerState
from madang.domain.session import ENDED, Exit, ExitReason, SessionState, final_state
from madang.domain.slots import format_amount
from madang.schemas.agent import ContainerStatus, ExitReport, Phase


async def settle(transaction: Transaction, node: str, status: ContainerStatus, now: datetime) -> SessionRow | None:
    """Write down that a container runs or has ended, and move its session.

    Words about an earlier launch, another node, or a session that has ended are ignored. Returns the session when
    something changed.
    """
    session_id = await containers.session_of(transaction.connection, status.container_id)
    row = await sessions.lock(transaction, session_id) if session_id is not None else None
    if row is None or row.main is None or row.state in ENDED:
        return None
    main = row.main
    if (main.id, main.epoch, main.node) != (status.container_id, status.epoch, node):
        return None
    if status.phase is Phase.RUNNING:
        return await _running(transaction, row, status, now)
    if status.phase is Phase.ENDED:
        return await _ended(transaction, row, status, now)
    return None


def gone(container_id: str, epoch: int, reason: ExitReason, message: str) -> ContainerStatus:
    """The word about a container that the agent does not have."""
    report = ExitReport(reason=reason, message=message)
    return ContainerStatus(container_id=container_id, epoch=epoch, phase=Phase.ENDED, exit=report)


async def _running(
    transaction: Transaction, row: SessionRow, status: ContainerStatus, now: datetime
) -> SessionRow | None:
    assert row.main is not None  # noqa: S101 - settle has looked
    if row.main.state is not ContainerState.PLANNED or row.state is SessionState.PENDING:
        return None
    started_at = status.started_at or now
    await containers.mark_running(transaction, row.main, started_at)
    if row.state is SessionState.PREPARING:
        return await sessions.move(transaction, row, SessionState.RUNNING, now, happened_at=started_at)
    return row  # being stopped already


async def _ended(
    transaction: Transaction, row: SessionRow, status: ContainerStatus, now: datetime
) -> SessionRow | None:
    assert row.main is not None  # noqa: S101 - settle has looked
    if row.state in (SessionState.PENDING, SessionState.SCHEDULED):
        return None
    ending = status.exit.to_domain() if status.exit is not None else Exit(ExitReason.LOST)
    started_at = status.started_at or row.main.started_at
    ran = started_at is not None or row.started_at is not None
    if row.state is SessionState.PREPARING and ran and ending.reason is not ExitReason.LAUNCH:
        # It began and ended before anybody wrote down that it runs.
        row = await sessions.move(transaction, row, SessionState.RUNNING, now, happened_at=started_at)
    ended_at = status.ended_at or now
    main = row.main
    assert main is not None  # noqa: S101 - moving keeps it
    await containers.mark_ended(transaction, main, ending, started_at, ended_at)
    end = final_state(ending, stop_requested=row.stop_requested_at is not None, ran=ran)
    return await sessions.move(transaction, row, end, now, describe(ending, end, row), happened_at=ended_at)


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
