"""What was held within a month, added up: by a project's users, with what they hold now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB, TEXT
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.repositories.held import HELD_DEVICES, HELD_SLOTS, HOLDING
from madang.domain.budgets import PriceBook, parse_book
from madang.domain.calendar import zone_of
from madang.domain.devices import counted
from madang.domain.usage import Model, Period, Span, Usage, months, used

PRICES: Final = "prices"  # the name of the site setting

# Held by everybody who adds to the totals, so that nobody moves the months meanwhile.
_ZONE: Final = text("SELECT value ->> 'timezone' FROM site_settings WHERE name = 'prices' FOR SHARE")
_BOOK: Final = text("SELECT value FROM site_settings WHERE name = 'prices'").columns(value=JSONB)
_LOCK_BOOK: Final = text("SELECT value FROM site_settings WHERE name = 'prices' FOR UPDATE").columns(value=JSONB)
_ADD: Final = text(
    """
    INSERT INTO month_totals AS m (since, project_id, user_id, kind, name, domain_id, amount)
    SELECT since, project_id, user_id, kind, name, domain_id, amount FROM jsonb_to_recordset(:totals)
        AS t(since timestamptz, project_id text, user_id text, kind text, name text, domain_id text, amount numeric)
    ORDER BY since, project_id, user_id, kind, name
    ON CONFLICT (since, project_id, user_id, kind, name) DO UPDATE SET amount = m.amount + excluded.amount
    """
).bindparams(bindparam("totals", type_=JSONB))
_SPANS: Final = text(
    """
    SELECT id, project_id, user_id, domain_id, slots, devices, since, until FROM spans
    WHERE until > :since AND id > :after ORDER BY id LIMIT 5000
    """
)
# One statement: of two, one would miss what ends between them, or count it twice.
_MINE: Final = """
    (CAST(:user AS text) IS NULL OR t.user_id = :user) AND (CAST(:project AS text) IS NULL OR t.project_id = :project)
        AND (CAST(:domain AS text) IS NULL OR t.domain_id = :domain)
"""
_TOTALS: Final = text(
    f"""
    SELECT t.project_id, t.user_id, t.domain_id, t.kind, t.name, t.amount,
        NULL::jsonb AS slots, NULL::jsonb AS devices, NULL::timestamptz AS held_since
    FROM month_totals t WHERE t.since = :since AND {_MINE}
    UNION ALL
    SELECT t.project_id, t.user_id, t.domain_id, '', '', 0, t.slots, t.devices, t.held_since FROM (
        SELECT s.project_id, s.owner_id AS user_id, p.domain_id, {HELD_SLOTS} AS slots, {HELD_DEVICES} AS devices,
            s.held_since
        FROM sessions s JOIN projects p ON p.id = s.project_id WHERE {HOLDING} AND s.held_since < :now
    ) AS t WHERE {_MINE}
    """  # noqa: S608 - a constant
).bindparams(*(bindparam(name, type_=TEXT) for name in ("user", "project", "domain")))
_FORGET: Final = text("DELETE FROM month_totals WHERE since < :before")
_FORGET_ALL: Final = text("DELETE FROM month_totals WHERE since >= :since")


@dataclass(frozen=True, slots=True)
class Whose:
    """Of whom totals are asked: all that is given has to fit; nothing is given for everybody."""

    user_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None


@dataclass(slots=True)
class Total:
    """What a project's user held within a month, until now, and holds now."""

    project_id: str
    user_id: str
    domain_id: str
    slots: Counter[str] = field(default_factory=Counter)  # see Usage
    devices: Counter[Model] = field(default_factory=Counter)
    holding: list[Span] = field(default_factory=list)

    @property
    def used(self) -> Usage:
        """Exactly."""
        return Usage(self.slots, self.devices)


async def book(connection: AsyncConnection) -> PriceBook:
    """The prices of the site."""
    return parse_book(await connection.scalar(_BOOK))


async def lock_book(transaction: Transaction) -> PriceBook:
    """The same; nobody else changes them, and nobody adds to totals, until the end of the transaction."""
    return parse_book(await transaction.connection.scalar(_LOCK_BOOK))


async def add(transaction: Transaction, spans: Iterable[tuple[str, str, str, Span]]) -> None:
    """Add what was held to the months in which it was held: project, user and domain by id."""
    found = list(spans)
    if found:
        zone = await transaction.connection.scalar(_ZONE)
        await _add(transaction, found, str(zone or "UTC"), None)


async def reckon(transaction: Transaction, timezone: str, since: datetime) -> None:
    """Add up anew what was held from a moment on, when months begin at other times; the price book has to be locked."""
    await transaction.connection.execute(_FORGET_ALL, {"since": since})
    after = 0
    while rows := (await transaction.connection.execute(_SPANS, {"since": since, "after": after})).all():
        after = rows[-1].id
        found = [
            (row.project_id, row.user_id, row.domain_id, span_of(row.slots, row.devices, row.since, row.until))
            for row in rows
        ]
        await _add(transaction, found, timezone, since)


async def totals(connection: AsyncConnection, period: Period, now: datetime, whose: Whose = Whose()) -> list[Total]:
    """What was held within a month, until now where it is held still."""
    values = {
        "since": period.since,
        "now": now,
        "user": whose.user_id,
        "project": whose.project_id,
        "domain": whose.domain_id,
    }
    found: dict[tuple[str, str], Total] = {}
    for row in await connection.execute(_TOTALS, values):
        key = (row.project_id, row.user_id)
        total = found.setdefault(key, Total(row.project_id, row.user_id, row.domain_id))
        if row.held_since is not None:
            span = span_of(row.slots, row.devices, row.held_since, now)
            total.holding.append(span)
            part = used([span], period)
            total.slots.update(part.slots)
            total.devices.update(part.devices)
        elif row.kind:
            total.devices[Model(row.kind, row.name)] += int(row.amount)
        else:
            total.slots[row.name] += int(row.amount)
    return list(found.values())


def together(found: Iterable[Total]) -> Usage:
    """All of it in one sum."""
    slots, devices = Counter[str](), Counter[Model]()
    for one in found:
        slots.update(one.slots)
        devices.update(one.devices)
    return Usage(slots, devices)


async def forget(transaction: Transaction, before: datetime) -> None:
    """Delete totals of months that began before a moment; the spans themselves stay."""
    await transaction.connection.execute(_FORGET, {"before": before})


def span_of(slots: dict[str, int], devices: Sequence[Sequence[Any]], since: datetime, until: datetime) -> Span:
    """One of nobody."""
    held = {Model(kind, model): int(milli) for kind, model, milli in devices}
    return Span("", "", "", "", since, until, counted(slots or {}), held)


async def _add(
    transaction: Transaction,
    spans: Sequence[tuple[str, str, str, Span]],
    timezone: str,
    since: datetime | None,
) -> None:
    zone = zone_of(timezone)
    sums: dict[tuple[str, str, str, str, str, str], int] = {}
    for project, user, domain, span in spans:
        for period in months(span.since, span.until, zone):
            if since is not None and period.since < since:
                continue
            part = used([span], period)
            amounts = [("", slot, amount) for slot, amount in part.slots.items()]
            amounts += [(model.kind, model.model, amount) for model, amount in part.devices.items()]
            for kind, name, amount in amounts:
                key = (period.since.isoformat(), project, user, kind, name, domain)
                sums[key] = sums.get(key, 0) + amount
    names = ("since", "project_id", "user_id", "kind", "name", "domain_id")
    totals = [{**dict(zip(names, key, strict=True)), "amount": str(amount)} for key, amount in sums.items()]
    if totals:
        await transaction.connection.execute(_ADD, {"totals": totals})
