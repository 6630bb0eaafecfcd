"""What the scheduler decides about waiting sessions, however many, written in a few statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from madang.db.engine import Transaction
from madang.db.repositories import moves, sessions
from madang.db.rows import PartRow, WaitingRow
from madang.domain.ids import new_id
from madang.domain.session import HOLDING, SessionState

# Locked in the order of their ids, as everybody does who locks several.
_PLACE: Final = text(
    """
    WITH waiting AS (
        SELECT id FROM sessions WHERE state = 'pending' AND id = ANY(:ids)
        ORDER BY id FOR UPDATE
    ), moved AS (
        UPDATE sessions s SET
            state = 'scheduled', reason = '', waiting = NULL, held_since = :at, preempted_for = NULL
        FROM waiting
        WHERE s.id = waiting.id AND s.id = ANY(:ids) AND s.state = 'pending'
        RETURNING s.id, s.owner_id, s.name
    ), planned AS (
        INSERT INTO containers (id, session_id, role, position, node, epoch, state, slots, devices)
        SELECT p.id, moved.id, p.role, p.position, p.node, 1, 'planned', p.slots, p.devices
        FROM moved JOIN jsonb_to_recordset(:parts)
            AS p(id text, session_id text, role text, position int, node text, slots jsonb, devices jsonb)
            ON p.session_id = moved.id
        ON CONFLICT ON CONSTRAINT containers_place DO UPDATE SET
            node = excluded.node, epoch = containers.epoch + 1, state = 'planned', slots = excluded.slots,
            devices = excluded.devices, started_at = NULL, ended_at = NULL,
            exit_reason = NULL, exit_code = NULL, exit_signal = NULL, exit_message = NULL
    )
    SELECT id, owner_id, name FROM moved
    """
).bindparams(bindparam("ids", type_=ARRAY(Text)), bindparam("parts", type_=JSONB))

_EXPLAIN: Final = text(
    """
    UPDATE sessions s SET reason = r.reason, waiting = r.waiting
    FROM jsonb_to_recordset(:reasons) AS r(id text, reason text, waiting jsonb)
    WHERE s.id = r.id AND s.id = ANY(:ids) AND s.state = 'pending'
    """
).bindparams(bindparam("reasons", type_=JSONB), bindparam("ids", type_=ARRAY(Text)))


@dataclass(frozen=True, slots=True)
class Chosen:
    """A decision to run a waiting session: what each of its containers gets, by rank."""

    session_id: str
    parts: tuple[PartRow, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """Why a session keeps waiting, for people and for programs."""

    session_id: str
    reason: str
    waiting: WaitingRow


@dataclass(frozen=True, slots=True)
class GivingWay:
    """A decision to stop a session, and to queue it anew, for the sake of another one."""

    session_id: str
    for_session: str
    for_name: str
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class Hopeless:
    """A decision to give up a waiting session."""

    session_id: str
    end: SessionState
    reason: str


async def place(transaction: Transaction, chosen: Sequence[Chosen], at: datetime) -> set[str]:
    """Give waiting sessions their nodes and the epochs of their launches; returns the ids of those still waiting."""
    parts = [
        {
            "id": new_id(),
            "session_id": one.session_id,
            "role": "sub" if rank else "main",
            "position": rank,
            "node": part.node,
            "slots": part.slots,
            "devices": [asdict(device) for device in part.devices],
        }
        for one in chosen
        for rank, part in enumerate(one.parts)
    ]
    values = {"ids": [one.session_id for one in chosen], "parts": parts, "at": at}
    node_of = {one.session_id: one.parts[0].node for one in chosen}
    moved = set()
    for row in await transaction.connection.execute(_PLACE, values):
        data = {"name": row.name, "reason": "", "node": node_of[row.id]}
        transaction.emit("session.scheduled", at, data, session_id=row.id, owner_id=row.owner_id)
        moved.add(row.id)
    return moved


async def explain(transaction: Transaction, told: Sequence[Told]) -> None:
    """Tell waiting sessions why they wait. No event: a reason is no change of state."""
    reasons = [{"id": one.session_id, "reason": one.reason, "waiting": _written(one.waiting)} for one in told]
    values = {"reasons": reasons, "ids": [one.session_id for one in told]}
    await transaction.connection.execute(_EXPLAIN, values)


async def preempt(transaction: Transaction, victims: Sequence[GivingWay], at: datetime) -> None:
    """Begin to stop sessions for the sake of others; those that are ending anyway are left alone."""
    rows = await sessions.lock_all(transaction, [one.session_id for one in victims])
    changes = []
    for one in victims:
        row = rows.get(one.session_id)
        if row is None or row.state not in HOLDING or row.state is SessionState.TERMINATING:
            continue
        reason = f"gives way to {one.for_name}"
        after = moves.begin_stop(row, "preempted", at, one.grace_seconds, reason, preempted_for=one.for_session)
        changes.append(moves.Change(row, after, (after,)))
    await moves.save(transaction, changes, at)


async def give_up(transaction: Transaction, hopeless: Sequence[Hopeless], at: datetime) -> None:
    """End those of the sessions that still wait: for nothing, as it turned out."""
    rows = await sessions.lock_all(transaction, [one.session_id for one in hopeless])
    changes = []
    for one in hopeless:
        row = rows.get(one.session_id)
        if row is not None and row.state is SessionState.PENDING:
            after = moves.step(row, one.end, at, one.reason)
            changes.append(moves.Change(row, after, (after,)))
    await moves.save(transaction, changes, at)


def _written(waiting: WaitingRow) -> dict[str, object]:
    start = waiting.estimated_start
    return {**asdict(waiting), "estimated_start": start.isoformat() if start is not None else None}
