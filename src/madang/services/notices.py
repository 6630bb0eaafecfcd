"""Use cases of announcements and maintenance, and what of them every answer of the server carries."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from madang.db.engine import Database, Transaction
from madang.db.hub import Hub
from madang.db.repositories import audit, notices
from madang.db.site_rows import AnnouncementRow
from madang.domain.errors import InvalidInput, Unavailable
from madang.domain.ids import Clock, new_id
from madang.domain.notices import Maintenance, marks
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.schemas.site import Announcement, AnnouncementCreate, MaintenancePut, MaintenanceState

_LOOK_AGAIN_SECONDS: Final = 30.0  # what is told by a wake-up is read at once


@dataclass(frozen=True, slots=True)
class _Known:
    announcements: Sequence[AnnouncementRow] = ()  # newest first; those to come, too
    maintenance: Maintenance | None = None


class NoticeService:
    """Everybody who is signed in reads what is said now; administrators read and change all."""

    def __init__(self, database: Database, hub: Hub, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._changed = hub.subscribe("site")
        self._known = _Known()
        self._until = float("-inf")

    async def list(self, caller: Caller, *, everything: bool = False) -> Sequence[Announcement]:
        """Those of now, newest first; for administrators with `everything` also those to come and those that are over.

        Raises Forbidden."""
        if everything:
            caller.require(Right.SITE_CHANGE)
            return [_view(row) for row in await self._database.read(notices.every)]
        now = self._clock.now()
        return [_view(row) for row in (await self._read()).announcements if _current(row, now)]

    async def create(self, caller: Caller, request: AnnouncementCreate) -> Announcement:
        """Tell everybody something. Raises Forbidden, and InvalidInput when it would be over before it begins."""
        caller.require(Right.SITE_CHANGE)
        now = self._clock.now()
        since = request.since or now
        row = AnnouncementRow(new_id(), request.message, request.level, since, request.until, now, caller.name)
        _check_times(row, now)

        async def save(transaction: Transaction) -> None:
            await notices.save(transaction, row, now)
            await audit.record(transaction, caller, "announcement.create", _target(row), now, after=_values(row))

        await self._database.transaction(save, "announcement.create")
        return _view(row)

    async def change(self, caller: Caller, announcement_id: str, request: AnnouncementCreate) -> Announcement:
        """Say something else instead. Raises Forbidden, NotFound, InvalidInput."""
        caller.require(Right.SITE_CHANGE)
        now = self._clock.now()

        async def save(transaction: Transaction) -> AnnouncementRow:
            found = await notices.lock(transaction, announcement_id)
            row = replace(
                found,
                message=request.message,
                level=request.level,
                since=request.since or found.since,
                until=request.until,
            )
            _check_times(row, now)
            await notices.save(transaction, row, now)
            values = {"before": _values(found), "after": _values(row)}
            await audit.record(transaction, caller, "announcement.set", _target(row), now, **values)
            return row

        return _view(await self._database.transaction(save, "announcement.set"))

    async def delete(self, caller: Caller, announcement_id: str) -> None:
        """Say it no more. Raises Forbidden, NotFound."""
        caller.require(Right.SITE_CHANGE)

        async def remove(transaction: Transaction) -> None:
            now = self._clock.now()
            row = await notices.lock(transaction, announcement_id)
            await notices.remove(transaction, row.id, now)
            await audit.record(transaction, caller, "announcement.delete", _target(row), now, before=_values(row))

        await self._database.transaction(remove, "announcement.delete")

    async def state(self) -> MaintenanceState:
        """Whether the site is under maintenance, for everybody who is signed in."""
        return self._state((await self._read()).maintenance)

    async def maintain(self, caller: Caller, wanted: MaintenancePut) -> MaintenanceState:
        """Accept and start no sessions until it is switched off or over; what runs goes on. Raises Forbidden,
        InvalidInput for an end in the past."""
        caller.require(Right.SITE_CHANGE)
        now = self._clock.now()
        if wanted.on and wanted.until is not None and wanted.until <= now:
            raise InvalidInput(f"The maintenance would be over already: it is {now:%Y-%m-%d %H:%M} UTC now.")
        then = Maintenance(new_id(), wanted.message, now, wanted.until, caller.name) if wanted.on else None

        async def save(transaction: Transaction) -> None:
            before = self._state(await notices.maintenance(transaction.connection)).model_dump(mode="json")
            await notices.set_maintenance(transaction, then, now)
            after = self._state(then).model_dump(mode="json")
            target = audit.Target("maintenance", "maintenance")
            await audit.record(transaction, caller, "maintenance.set", target, now, before=before, after=after)

        await self._database.transaction(save, "maintenance.set")
        return self._state(then)

    async def maintenance(self) -> Maintenance | None:
        """The last one that was switched on, for who looks whether it is over."""
        return (await self._read()).maintenance

    async def header(self) -> str:
        """The value of NOTICE_HEADER now; empty when nothing is said. It hardly ever asks the database, and never
        fails."""
        try:
            known = await self._read()
        except Unavailable:
            known = self._known
            self._until = time.monotonic() + _LOOK_AGAIN_SECONDS
        if not known.announcements and known.maintenance is None:
            return ""
        now = self._clock.now()
        maintenance = known.maintenance
        on = maintenance.id if maintenance is not None and maintenance.on(now) else None
        return marks([row.id for row in known.announcements if _current(row, now)], on)

    async def _read(self) -> _Known:
        if time.monotonic() > self._until or self._changed.woken:
            self._changed.take()
            now = self._clock.now()
            rows = await self._database.read(lambda connection: notices.every(connection, after=now))
            self._known = _Known(rows, await self._database.read(notices.maintenance))
            self._until = time.monotonic() + _LOOK_AGAIN_SECONDS
        return self._known

    def _state(self, known: Maintenance | None) -> MaintenanceState:
        if known is None or not known.on(self._clock.now()):
            return MaintenanceState(on=False)
        return MaintenanceState(
            on=True, id=known.id, message=dict(known.message), since=known.since, until=known.until, by=known.by
        )


def _current(row: AnnouncementRow, now: datetime) -> bool:
    return row.since <= now and (row.until is None or now < row.until)


def _check_times(row: AnnouncementRow, now: datetime) -> None:
    """Raises InvalidInput."""
    if row.until is not None and row.until <= max(row.since, now):
        raise InvalidInput("The announcement would be over before anybody reads it. Give it a later end, or none.")


def _target(row: AnnouncementRow) -> audit.Target:
    return audit.Target(row.id, next(iter(row.message.values()))[:60])


def _values(row: AnnouncementRow) -> dict[str, object]:
    return {
        "message": dict(row.message),
        "level": row.level,
        "since": row.since.isoformat(),
        "until": None if row.until is None else row.until.isoformat(),
    }


def _view(row: AnnouncementRow) -> Announcement:
    return Announcement(
        id=row.id,
        message=dict(row.message),
        level=row.level,
        since=row.since,
        until=row.until,
        created_at=row.created_at,
        created_by=row.created_by,
    )
