"""Nodes, as their agents reported them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import Row, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.repositories.containers import holding_sessions, used_slots
from madang.db.rows import NodeRow
from madang.db.statements import among
from madang.db.tables import nodes
from madang.schemas.agent import NodeReport

_n = nodes.c
_SELECT: Final = select(nodes).order_by(_n.name)
_SOME: Final = _SELECT.where(among(_n.name, "names"))


async def every(connection: AsyncConnection, *, with_use: bool = False) -> list[NodeRow]:
    """All nodes by name; with what holding sessions take of them when asked."""
    used = await used_slots(connection) if with_use else {}
    held = await holding_sessions(connection) if with_use else {}
    return _rows(await connection.execute(_SELECT), used, held)


async def some(connection: AsyncConnection, names: Iterable[str]) -> list[NodeRow]:
    """Those of these nodes that are known, by name, without what sessions take of them."""
    return _rows(await connection.execute(_SOME, {"names": sorted(names)}), {}, {})


def _rows(
    rows: Iterable[Row[*tuple[Any, ...]]], used: Mapping[str, dict[str, int]], held: Mapping[str, int]
) -> list[NodeRow]:
    found: list[NodeRow] = []
    for row in rows:
        try:
            report = NodeReport.model_validate(row.report)
        except ValidationError:
            continue  # of an agent of another version; its next report replaces this one
        found.append(
            NodeRow(
                row.name,
                row.state == "ready",
                row.slots,
                row.environments,
                report,
                row.last_seen_at,
                row.resource_group,
                used.get(row.name, {}),
                held.get(row.name, 0),
            )
        )
    return found


async def save(transaction: Transaction, report: NodeReport, environments: Sequence[str], at: datetime) -> None:
    """Insert or refresh a node that answers, and tell of it when something changed."""
    values = {
        "state": "ready",
        "slots": report.slots,
        "environments": sorted(environments),
        "report": report.model_dump(mode="json"),
    }
    known = (await transaction.connection.execute(select(nodes).where(_n.name == report.name))).first()
    changed = known is None or any(getattr(known, name) != value for name, value in values.items())
    statement = insert(nodes).values(name=report.name, last_seen_at=at, **values)
    await transaction.connection.execute(
        statement.on_conflict_do_update(index_elements=[_n.name], set_={**values, "last_seen_at": at})
    )
    if changed:
        transaction.emit("node.ready", at, {"node": report.name, "runtime": report.runtime})


async def mark_unreachable(transaction: Transaction, name: str, at: datetime) -> None:
    """A node does not answer; nothing new is placed on it."""
    done = await transaction.connection.execute(
        update(nodes).where(_n.name == name, _n.state == "ready").values(state="unreachable")
    )
    if done.rowcount:
        transaction.emit("node.unreachable", at, {"node": name})


async def move(transaction: Transaction, name: str, group: str, at: datetime) -> bool:
    """Put a node into another resource group; returns whether there is such a node. What runs on it goes on."""
    done = await transaction.connection.execute(update(nodes).where(_n.name == name).values(resource_group=group))
    if done.rowcount:
        transaction.emit("node.moved", at, {"node": name, "group": group})
    return bool(done.rowcount)
