"""Containers: what is planned on which node, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Integer, Row, bindparam, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.rows import ContainerRow, DeviceUse, HeldDevice, KeptRow
from madang.db.statements import among
from madang.db.tables import HOLDING, containers, sessions
from madang.domain.container import ContainerState
from madang.domain.session import Exit, ExitReason, SessionState

_c = containers.c

_SELECT: Final = select(
    _c.id, _c.session_id, _c.position, _c.node, _c.epoch, _c.state, _c.slots, _c.devices, _c.started_at, _c.ended_at,
    _c.exit_reason, _c.exit_code, _c.exit_signal, _c.exit_message,
)  # fmt: skip


def _row(row: Row[*tuple[Any, ...]]) -> ContainerRow:
    return ContainerRow(
        row.id,
        row.session_id,
        row.node,
        row.epoch,
        ContainerState(row.state),
        row.started_at,
        row.ended_at,
        exit_of(row.exit_reason, row.exit_code, row.exit_signal, row.exit_message),
        row.position,
        row.slots,
        held_devices(row.devices),
    )


def held_devices(written: Iterable[Mapping[str, Any]]) -> tuple[HeldDevice, ...]:
    """The column `devices`, read."""
    return tuple([HeldDevice(one["kind"], one["index"], one["milli"]) for one in written])


def exit_of(reason: str | None, code: int | None, signal: int | None, message: str | None) -> Exit | None:
    """How a container ended, out of its columns; None while it has not."""
    return None if reason is None else Exit(ExitReason(reason), code, signal, message or "")


_KEPT: Final = (
    select(_c.id, _c.epoch, _c.state, sessions.c.state.label("session_state"))
    .join(sessions, sessions.c.id == _c.session_id)
    .where(_c.node == bindparam("node"))
)
_ON_NODE: Final = _KEPT.where(text("containers.state <> 'removed'"))
_RUNNING: Final = _KEPT.where(text("containers.state = 'running'"), text("sessions.state = 'running'"))


async def on_node(connection: AsyncConnection, node: str) -> dict[str, KeptRow]:
    """Containers that may have something on the node, by id."""
    return {row.id: _kept(row) for row in await connection.execute(_ON_NODE, {"node": node})}


async def running_on(connection: AsyncConnection, node: str) -> list[KeptRow]:
    """Containers that run on the node, of sessions that are not being stopped."""
    return [_kept(row) for row in await connection.execute(_RUNNING, {"node": node})]


def _kept(row: Row[*tuple[Any, ...]]) -> KeptRow:
    return KeptRow(row.id, row.epoch, ContainerState(row.state), SessionState(row.session_state))


_OF_SESSIONS: Final = _SELECT.where(among(_c.session_id, "ids")).order_by(_c.session_id, _c.position)


async def of_sessions(connection: AsyncConnection, session_ids: Sequence[str]) -> list[ContainerRow]:
    """All containers of some sessions, those of each by rank."""
    return [_row(row) for row in await connection.execute(_OF_SESSIONS, {"ids": list(session_ids)})]


async def mark_removed(transaction: Transaction, row: ContainerRow) -> None:
    """Nothing of this launch is left on its node."""
    await transaction.connection.execute(
        update(containers).where(_c.id == row.id, _c.epoch == row.epoch).values(state=ContainerState.REMOVED.value)
    )


# Two ways to find them, each by an index: looking at all that are kept would cost more with every session.
_REMOVABLE: Final = (
    _SELECT.join(sessions, sessions.c.id == _c.session_id)
    .where(among(_c.node, "nodes"), text("containers.state <> 'removed'"))
    .limit(bindparam("limit", type_=Integer))
)
_OF_DELETED: Final = _REMOVABLE.where(sessions.c.deleted_at.is_not(None))
_OF_OLD: Final = _REMOVABLE.where(
    text("containers.state = 'ended'"),
    _c.ended_at < bindparam("before"),
    sessions.c.ended_at < bindparam("before"),
)


async def removable(
    connection: AsyncConnection, ended_before: datetime, nodes: Sequence[str], limit: int = 200
) -> list[ContainerRow]:
    """Containers of deleted sessions, and those that ended so long ago that they are not kept, on some nodes."""
    deleted = await connection.execute(_OF_DELETED, {"nodes": list(nodes), "limit": limit})
    old = await connection.execute(_OF_OLD, {"nodes": list(nodes), "limit": limit, "before": ended_before})
    return list({row.id: _row(row) for row in (*deleted, *old)}.values())


_USED: Final = text(
    f"""
    SELECT c.node, slot.key, sum(slot.value::bigint)::bigint
    FROM sessions s JOIN containers c ON c.session_id = s.id CROSS JOIN LATERAL jsonb_each_text(c.slots) AS slot
    WHERE s.{HOLDING}
    GROUP BY c.node, slot.key
    """  # noqa: S608 - a constant
)

_HELD: Final = text(
    f"""
    SELECT c.node, d.kind, d.index, d.milli, s.id, s.name, s.owner_id
    FROM sessions s JOIN containers c ON c.session_id = s.id
        CROSS JOIN LATERAL jsonb_to_recordset(c.devices) AS d(kind text, index int, milli int)
    WHERE s.{HOLDING}
    ORDER BY c.node, d.kind, d.index, s.id
    """  # noqa: S608 - a constant
)


async def used_slots(connection: AsyncConnection) -> dict[str, dict[str, int]]:
    """What holding sessions take of each node: node to slot to amount in base units.

    Of devices both are told: `<kind>.shares` is the sum of thousandths, `<kind>.device` how many are held whole.
    """
    used: dict[str, dict[str, int]] = {}
    for node, slot, amount in await connection.execute(_USED):
        used.setdefault(node, {})[slot] = amount
    return used


async def device_uses(connection: AsyncConnection) -> list[DeviceUse]:
    """Which holding session holds how much of which device, by node, kind and index."""
    return [DeviceUse(*row) for row in await connection.execute(_HELD)]


async def holding_sessions(connection: AsyncConnection) -> dict[str, int]:
    """How many sessions hold slots of each node."""
    query = (
        select(_c.node, func.count(sessions.c.id.distinct()).label("holding"))
        .join(sessions, sessions.c.id == _c.session_id)
        .where(text(f"sessions.{HOLDING}"))
        .group_by(_c.node)
    )
    return {row.node: row.holding for row in await connection.execute(query)}
