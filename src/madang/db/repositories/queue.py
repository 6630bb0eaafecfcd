"""The queue: what waits, and the decisions of one scheduling pass, however many, written in a few statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.rows import PendingRow
from madang.db.tables import sessions
from madang.domain.ids import new_id
from madang.domain.session import SessionState

_s = sessions.c
_LEADER: Final = 0x6D61_6471_7565  # one scheduler at a time

_PENDING: Final = (
    select(_s.id, _s.owner_id, _s.name, _s.reason, _s.environment, _s.network, _s.slots, _s.created_at)
    .where(_s.state == SessionState.PENDING.value)
    .order_by(_s.created_at, _s.id)
)

_PLACE: Final = text(
    """
    WITH chosen AS (
        SELECT * FROM jsonb_to_recordset(:chosen) AS c(session_id text, container_id text, node text)
    ), moved AS (
        UPDATE sessions s SET state = 'scheduled', reason = '' FROM chosen
        WHERE s.id = chosen.session_id AND s.state = 'pending'
        RETURNING s.id, s.owner_id, s.name, s.slots, chosen.container_id, chosen.node
    ), planned AS (
        INSERT INTO containers (id, session_id, role, position, node, epoch, state, slots)
        SELECT container_id, id, 'main', 0, node, 1, 'planned', slots FROM moved
        ON CONFLICT ON CONSTRAINT containers_place DO UPDATE SET
            node = excluded.node, epoch = containers.epoch + 1, state = 'planned', slots = excluded.slots,
            started_at = NULL, ended_at = NULL,
            exit_reason = NULL, exit_code = NULL, exit_signal = NULL, exit_message = NULL
    )
    SELECT id, owner_id, name, node FROM moved
    """
).bindparams(bindparam("chosen", type_=JSONB))

_EXPLAIN: Final = text(
    """
    UPDATE sessions s SET reason = r.reason FROM jsonb_to_recordset(:reasons) AS r(id text, reason text)
    WHERE s.id = r.id AND s.state = 'pending'
    """
).bindparams(bindparam("reasons", type_=JSONB))


@dataclass(frozen=True, slots=True)
class Chosen:
    """A decision to run a waiting session on a node."""

    session_id: str
    node: str


async def lead(transaction: Transaction) -> None:
    """Become the one who schedules, until the end of the transaction; waits for another manager's pass to end."""
    await transaction.connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LEADER})


async def pending(connection: AsyncConnection, limit: int) -> list[PendingRow]:
    """The waiting sessions, first come first."""
    rows = await connection.execute(_PENDING.limit(limit))
    return [
        PendingRow(row.id, row.owner_id, row.name, row.reason, row.environment, row.network, row.slots, row.created_at)
        for row in rows
    ]


async def place(transaction: Transaction, chosen: Sequence[Chosen], at: datetime) -> int:
    """Give waiting sessions their nodes and the epochs of their launches; returns how many were still waiting."""
    values = [{"session_id": one.session_id, "container_id": new_id(), "node": one.node} for one in chosen]
    moved = 0
    for row in await transaction.connection.execute(_PLACE, {"chosen": values}):
        data = {"name": row.name, "reason": "", "node": row.node}
        transaction.emit("session.scheduled", at, data, session_id=row.id, owner_id=row.owner_id)
        moved += 1
    return moved


async def explain(transaction: Transaction, reasons: Sequence[tuple[str, str]]) -> None:
    """Tell waiting sessions why they wait. No event: a reason is no change of state."""
    await transaction.connection.execute(_EXPLAIN, {"reasons": [{"id": i, "reason": why} for i, why in reasons]})
