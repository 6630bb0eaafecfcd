"""Steps of sessions through their states, many in a few statements: rows, containers, events and usage together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from madang.db.engine import Scalar, Transaction
from madang.db.repositories import spans, usage
from madang.db.rows import ContainerRow, SessionRow, StopReason
from madang.domain.session import ENDED, HOLDING, SessionState, check_transition

DEFAULT_GRACE_SECONDS: Final = 10.0

# The list of ids beside the rows lets them be found by the index, however large the table is.
_SAVE: Final = text(
    """
    UPDATE sessions s SET
        state = r.state, reason = r.reason, waiting = NULL, started_at = r.started_at, ended_at = r.ended_at,
        upload_id = r.upload_id, stop_requested_at = r.stop_requested_at, stop_grace_seconds = r.stop_grace_seconds,
        stop_reason = r.stop_reason, preempted_for = r.preempted_for, held_since = r.held_since, requeues = r.requeues
    FROM jsonb_to_recordset(:rows) AS r(
        id text, state text, reason text, started_at timestamptz, ended_at timestamptz, upload_id text,
        stop_requested_at timestamptz, stop_grace_seconds float8, stop_reason text, preempted_for text,
        held_since timestamptz, requeues int
    )
    WHERE s.id = r.id AND s.id = ANY(:ids)
    """
).bindparams(bindparam("rows", type_=JSONB), bindparam("ids", type_=ARRAY(Text)))

_SAVE_CONTAINERS: Final = text(
    """
    UPDATE containers c SET
        state = r.state, started_at = r.started_at, ended_at = r.ended_at, exit_reason = r.exit_reason,
        exit_code = r.exit_code, exit_signal = r.exit_signal, exit_message = r.exit_message
    FROM jsonb_to_recordset(:rows) AS r(
        id text, epoch int, state text, started_at timestamptz, ended_at timestamptz, exit_reason text,
        exit_code int, exit_signal int, exit_message text
    )
    WHERE c.id = r.id AND c.epoch = r.epoch AND c.id = ANY(:ids)
    """
).bindparams(bindparam("rows", type_=JSONB), bindparam("ids", type_=ARRAY(Text)))


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a locked session: as it was, as it is in the end, and as it is after each step that it takes."""

    before: SessionRow
    after: SessionRow
    steps: tuple[SessionRow, ...] = ()


def step(
    row: SessionRow, then: SessionState, at: datetime, reason: str = "", *, happened_at: datetime | None = None
) -> SessionRow:
    """The session one step further. `happened_at` is when it really began to run or ended, if that is not now.

    Raises InvalidTransition.
    """
    check_transition(row.state, then)
    further = replace(row, state=then, reason=reason, waiting=None)
    if then is SessionState.RUNNING:
        # What may have to be launched anew needs its upload once more.
        kept = row.upload_id if row.preemptible else None
        return replace(further, started_at=happened_at or at, upload_id=kept)
    if then in ENDED:
        return replace(further, ended_at=happened_at or at, upload_id=None, held_since=None, preempted_for=None)
    if then is SessionState.PENDING:
        return replace(
            further,
            started_at=None,
            held_since=None,
            stop_requested_at=None,
            stop_grace_seconds=DEFAULT_GRACE_SECONDS,
            stop_reason="",
        )
    return further


def begin_stop(
    row: SessionRow,
    why: StopReason,
    at: datetime,
    grace_seconds: float,
    reason: str,
    *,
    preempted_for: str | None = None,
) -> SessionRow:
    """The session as the platform begins to stop it. Raises InvalidTransition unless it holds room."""
    further = step(row, SessionState.TERMINATING, at, reason)
    return replace(
        further,
        stop_requested_at=at,
        stop_grace_seconds=grace_seconds,
        stop_reason=why,
        preempted_for=preempted_for,
    )


async def save(transaction: Transaction, changes: Sequence[Change], at: datetime) -> None:
    """Write down what became of sessions, which have to be locked, with an event for each step."""
    rows = [image for change in changes if (image := _image(change.after)) != _image(change.before)]
    if rows:
        await transaction.connection.execute(_SAVE, {"rows": rows, "ids": [row["id"] for row in rows]})
    moved = [one for change in changes for one in _moved(change)]
    if moved:
        values = {"rows": [_container(one) for one in moved], "ids": [one.id for one in moved]}
        await transaction.connection.execute(_SAVE_CONTAINERS, values)
    held = [one for change in changes for one in _let_go(change, at)]
    if held:
        await usage.fold(transaction, held)
        await spans.add(transaction, [span for change in changes if (span := _span(change, at)) is not None])
    for change in changes:
        for one in change.steps:
            tell(transaction, one, at)


def tell(transaction: Transaction, row: SessionRow, at: datetime) -> None:
    """The event of a session's newest step."""
    main = row.main
    data: dict[str, Scalar] = {"name": row.name, "reason": row.reason, "node": main.node if main else None}
    transaction.emit(f"session.{row.state.value}", at, data, session_id=row.id, owner_id=row.owner_id)


def _moved(change: Change) -> Iterable[ContainerRow]:
    before = {one.id: one for one in change.before.containers}
    return (one for one in change.after.containers if before.get(one.id) != one)


def _span(change: Change, at: datetime) -> spans.Held | None:
    """What the session held and holds no longer; None when there is nothing such."""
    before, after = change.before, change.after
    if before.state not in HOLDING or after.state in HOLDING or before.held_since is None:
        return None
    # Who is queued anew held its room until its last container ended, however much later that was told.
    ended = after.ended_at or max((one.ended_at for one in after.containers if one.ended_at), default=at)
    return spans.Held(after, before.held_since, min(ended, at))  # clocks of nodes may be ahead


def _let_go(change: Change, at: datetime) -> Iterable[usage.Held]:
    """The same, container by container, for the reckoning of shares."""
    one = _span(change, at)
    for container in one.row.containers if one is not None else ():
        assert one is not None  # noqa: S101 - it has containers
        yield usage.Held(one.row.resource_group, one.row.owner_id, container.slots, one.since, one.until)


def _image(row: SessionRow) -> dict[str, object]:
    return {
        "id": row.id,
        "state": row.state.value,
        "reason": row.reason,
        "started_at": _written(row.started_at),
        "ended_at": _written(row.ended_at),
        "upload_id": row.upload_id,
        "stop_requested_at": _written(row.stop_requested_at),
        "stop_grace_seconds": row.stop_grace_seconds,
        "stop_reason": row.stop_reason,
        "preempted_for": row.preempted_for,
        "held_since": _written(row.held_since),
        "requeues": row.requeues,
    }


def _container(row: ContainerRow) -> dict[str, object]:
    return {
        "id": row.id,
        "epoch": row.epoch,
        "state": row.state.value,
        "started_at": _written(row.started_at),
        "ended_at": _written(row.ended_at),
        "exit_reason": row.exit.reason.value if row.exit is not None else None,
        "exit_code": row.exit.code if row.exit is not None else None,
        "exit_signal": row.exit.signal if row.exit is not None else None,
        "exit_message": row.exit.message if row.exit is not None else None,
    }


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
