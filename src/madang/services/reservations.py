"""Use cases of reservations: room of a resource group that is kept for some users at some times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, groups, nodes, people, reservations
from madang.db.rows import ReservationRow, ScheduleRow
from madang.domain.calendar import occurrence_from
from madang.domain.devices import claim_of, counted
from madang.domain.errors import InvalidInput, InvalidSlots, NotFound
from madang.domain.ids import Clock, new_id
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.domain.slots import Slots
from madang.schemas.api import Reservation, ReservationCreate
from madang.services.capacity import require_room
from madang.services.cluster import schedule_of
from madang.services.views import reservation_view

_FURTHEST: Final = timedelta(days=732)
_LONGEST: Final = timedelta(days=366)


class ReservationService:
    """Administrators see and change all; others see those that are for them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller) -> Sequence[Reservation]:
        """By name."""
        caller.require(Right.CLUSTER_SEE)
        rows = await self._database.read(reservations.every)
        return self._views(row for row in rows if _may_know(caller, row))

    async def get(self, caller: Caller, name: str) -> Reservation:
        """Raises NotFound, also for one that is not for the caller."""
        caller.require(Right.CLUSTER_SEE)
        row = await self._database.read(lambda connection: reservations.find(connection, name))
        return self._views([_known(caller, row, name)])[0]

    async def create(self, caller: Caller, request: ReservationCreate) -> Reservation:
        """Keep room from now on.

        Raises Forbidden, NameInUse, NotFound (group or user), InvalidInput, InvalidSlots, ImpossibleRequest when the
        group has not so much, Conflict when it has not beside another reservation at the same time.
        """
        caller.require(Right.CLUSTER_CHANGE)
        now = self._clock.now()
        row = _row(request, caller, now)

        async def save(transaction: Transaction) -> None:
            connection = transaction.connection
            if await groups.lock(transaction, row.resource_group) is None:
                raise NotFound(f"There is no resource group '{row.resource_group}'.")
            unknown = await people.unknown(connection, row.users)
            if unknown:
                raise NotFound(f"There is no user {' or '.join(repr(name) for name in unknown[:5])}.")
            members = [node for node in await nodes.every(connection) if node.resource_group == row.resource_group]
            require_room(row, await reservations.every(connection, row.resource_group), members, now)
            await reservations.add(transaction, row)
            target, after = audit.Target(row.id, row.name), request.model_dump(mode="json")
            await audit.record(transaction, caller, "reservation.create", target, now, after=after)

        await self._database.transaction(save, "reservation.create")
        return self._views([row])[0]

    async def delete(self, caller: Caller, name: str) -> None:
        """Give the room back to everybody; sessions that name it go on. Raises Forbidden, NotFound."""
        caller.require(Right.CLUSTER_CHANGE)

        async def remove(transaction: Transaction) -> None:
            row = _known(caller, await reservations.find(transaction.connection, name), name)
            now = self._clock.now()
            await reservations.remove(transaction, row, now)
            await audit.record(transaction, caller, "reservation.delete", audit.Target(row.id, row.name), now)

        await self._database.transaction(remove, "reservation.delete")

    def _views(self, rows: Iterable[ReservationRow]) -> Sequence[Reservation]:
        now = self._clock.now().timestamp()
        return [reservation_view(row, occurrence_from(*schedule_of(row.schedule), now)) for row in rows]


def _may_know(caller: Caller, row: ReservationRow) -> bool:
    return caller.is_admin or caller.name in row.users


def _known(caller: Caller, row: ReservationRow | None, name: str) -> ReservationRow:
    if row is None or not _may_know(caller, row):
        raise NotFound(f"There is no reservation '{name[:60]}'. 'madang reservation ls' shows those there are.")
    return row


def _row(request: ReservationCreate, caller: Caller, now: datetime) -> ReservationRow:
    slots = Slots.parse(dict(request.slots))
    claim = claim_of(slots, request.models)
    if not slots:
        raise InvalidSlots("A reservation of nothing keeps no room; say how much, e.g. cuda.device=8.")
    if claim is not None and not claim.whole:
        raise InvalidSlots(f"A reservation keeps whole devices; ask for {claim.kind}.device.")
    return ReservationRow(
        id=new_id(),
        name=request.name,
        resource_group=request.resource_group,
        slots=counted(slots),
        device_kind=claim.kind if claim is not None else "",
        device_count=claim.count if claim is not None else 0,
        models=claim.models if claim is not None else (),
        users=tuple(sorted(set(request.users))),
        schedule=_schedule(request, now),
        created_by=caller.user_id,
        created_at=now,
    )


def _schedule(request: ReservationCreate, now: datetime) -> ScheduleRow:
    """Raises InvalidInput unless it is weekly or once, and not over."""
    weekly = bool(request.days or request.start is not None or request.end is not None)
    starts, ends = request.starts_at, request.ends_at
    once = starts is not None or ends is not None
    if weekly == once:
        raise InvalidInput(
            "Say either when it is every week (days, start, end) or when it is once (starts_at, ends_at)."
        )
    if weekly:
        if not (request.days and request.start is not None and request.end is not None):
            raise InvalidInput("A weekly reservation needs days, start and end, e.g. tue, 09:00, 12:00.")
        made = ScheduleRow(tuple(request.days), request.start, request.end, request.timezone)
        schedule_of(made)
        return made
    if starts is None or ends is None:
        raise InvalidInput("A reservation that is once needs both starts_at and ends_at.")
    if ends <= starts:
        raise InvalidInput("The reservation ends before it begins. Exchange starts_at and ends_at.")
    if ends <= now:
        raise InvalidInput(f"The reservation is over already: it is {now.isoformat(sep=' ', timespec='seconds')} now.")
    if starts - now > _FURTHEST or ends - starts > _LONGEST:
        raise InvalidInput("A reservation begins within two years and lasts at most one. Is the year right?")
    return ScheduleRow(timezone=request.timezone, starts_at=starts.astimezone(UTC), ends_at=ends.astimezone(UTC))
