"""Reservations: room of a resource group that is kept for some users at some times."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.failures import constraint_of
from madang.db.rows import ReservationRow, ScheduleRow
from madang.db.tables import reservations
from madang.domain.errors import NameInUse

_r = reservations.c
_SELECT: Final = select(reservations).order_by(_r.name)


def _row(row: Row[*tuple[Any, ...]]) -> ReservationRow:
    devices = row.devices or {"kind": "", "count": 0, "models": []}
    schedule = row.schedule
    return ReservationRow(
        id=row.id,
        name=row.name,
        resource_group=row.resource_group,
        slots=row.slots,
        device_kind=devices["kind"],
        device_count=devices["count"],
        models=tuple(devices["models"]),
        users=tuple(row.users),
        schedule=ScheduleRow(
            tuple(schedule["days"]),
            schedule["start"],
            schedule["end"],
            schedule["timezone"],
            _moment(schedule["starts_at"]),
            _moment(schedule["ends_at"]),
        ),
        created_by=row.created_by,
        created_at=row.created_at,
    )


def _moment(written: str | None) -> datetime | None:
    return None if written is None else datetime.fromisoformat(written)


async def every(connection: AsyncConnection, group: str | None = None) -> list[ReservationRow]:
    """All reservations by name, or those of one group."""
    query = _SELECT if group is None else _SELECT.where(_r.resource_group == group)
    return [_row(row) for row in await connection.execute(query)]


async def find(connection: AsyncConnection, name: str) -> ReservationRow | None:
    """One reservation, None when there is none of this name."""
    row = (await connection.execute(_SELECT.where(_r.name == name))).first()
    return None if row is None else _row(row)


async def add(transaction: Transaction, row: ReservationRow) -> None:
    """Save a new reservation. Raises NameInUse."""
    schedule = asdict(row.schedule)
    for moment in ("starts_at", "ends_at"):
        schedule[moment] = schedule[moment].isoformat() if schedule[moment] is not None else None
    devices = {"kind": row.device_kind, "count": row.device_count, "models": list(row.models)}
    values = {
        "id": row.id,
        "name": row.name,
        "resource_group": row.resource_group,
        "slots": row.slots,
        "devices": devices if row.device_kind else None,
        "users": list(row.users),
        "schedule": schedule,
        "created_by": row.created_by,
        "created_at": row.created_at,
    }
    try:
        await transaction.connection.execute(insert(reservations), values)
    except IntegrityError as error:
        if constraint_of(error) == "reservations_name_key":
            raise NameInUse(f"There is a reservation '{row.name}' already. Choose another name.") from error
        raise
    transaction.emit("group.changed", row.created_at, {"group": row.resource_group, "reservation": row.name})


async def remove(transaction: Transaction, row: ReservationRow, at: datetime) -> None:
    """Give the room back to everybody."""
    await transaction.connection.execute(delete(reservations).where(_r.id == row.id))
    transaction.emit("group.changed", at, {"group": row.resource_group, "reservation": row.name})
