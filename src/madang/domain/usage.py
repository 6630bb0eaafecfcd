"""What sessions used: slots times seconds, summed exactly over any period, and what that costs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final, Literal, NamedTuple

from madang.domain.calendar import day_begins
from madang.domain.devices import WHOLE, device_word, shares_slot
from madang.domain.errors import InvalidInput
from madang.domain.slots import Unit, unit_of

_MICROSECOND: Final = timedelta(microseconds=1)
_MICROS: Final = 1_000_000
_HOUR: Final = 3600


class Model(NamedTuple):
    """The devices of a kind and a model."""

    kind: str  # cuda
    model: str  # A100


@dataclass(frozen=True, slots=True)
class Span:
    """What a session held from `since` to before `until`. A session may have several spans, which do not overlap.

    Attributes:
        slots: in base units, of all its containers; no devices among them.
        devices: thousandths of devices by kind and model.
    """

    session: str
    user: str
    project: str
    domain: str
    since: datetime
    until: datetime
    slots: Mapping[str, int] = field(default_factory=dict)
    devices: Mapping[Model, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` to before `until`."""

    since: datetime
    until: datetime


def month(year: int, number: int, zone: tzinfo) -> Period:
    """A month of the calendar, 1 to 12, in the time of a place. Months follow each other without a gap."""
    following = date(year + number // 12, number % 12 + 1, 1)
    return Period(_begins(date(year, number, 1), zone), _begins(following, zone))


def month_of(moment: datetime, zone: tzinfo) -> Period:
    """The month in which a moment lies in a place."""
    local = moment.astimezone(zone)
    return month(local.year, local.month, zone)


def months(since: datetime, until: datetime, zone: tzinfo) -> Iterator[Period]:
    """All months, whole ones, that the time from `since` to before `until` touches."""
    while since < until:
        one = month_of(since, zone)
        yield one
        since = one.until


def _begins(day: date, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(day_begins(day, zone), UTC)


def cut(span: Span, period: Period) -> Span | None:
    """The part of a span within a period; None when there is none."""
    since, until = max(span.since, period.since), min(span.until, period.until)
    return replace(span, since=since, until=until) if since < until else None


@dataclass(frozen=True, slots=True)
class Usage:
    """Amounts times microseconds, so that nothing is ever rounded: `slots` in base units, `devices` in thousandths."""

    slots: Mapping[str, int] = field(default_factory=dict)
    devices: Mapping[Model, int] = field(default_factory=dict)

    def slot_seconds(self) -> dict[str, Fraction]:
        """Base units times seconds of every slot, devices of a kind together as `<kind>.shares`."""
        found = {slot: Fraction(amount, _MICROS) for slot, amount in self.slots.items()}
        for one, amount in self.devices.items():
            slot = shares_slot(one.kind)
            found[slot] = found.get(slot, Fraction(0)) + Fraction(amount, _MICROS)
        return found

    def device_hours(self) -> dict[Model, Fraction]:
        """Hours of whole devices by model."""
        return {one: _hours(amount) for one, amount in self.devices.items()}

    def gpu_hours(self) -> Fraction:
        """Hours of whole GPUs, of every kind and model."""
        return _hours(sum(amount for one, amount in self.devices.items() if device_word(one.kind) == "GPU"))


def _hours(milli_micros: int) -> Fraction:
    return Fraction(milli_micros, WHOLE * _MICROS * _HOUR)


By = Literal["session", "user", "project", "domain"]


def used(spans: Iterable[Span], period: Period | None = None) -> Usage:
    """What all of them used together, within a period if one is named. A span that ends before it begins is nothing."""
    slots: dict[str, int] = {}
    devices: dict[Model, int] = {}
    for one in spans:
        part = one if period is None else cut(one, period)
        micros = 0 if part is None else max((part.until - part.since) // _MICROSECOND, 0)
        if micros:
            for slot, amount in one.slots.items():
                slots[slot] = slots.get(slot, 0) + amount * micros
            for model, amount in one.devices.items():
                devices[model] = devices.get(model, 0) + amount * micros
    return Usage(
        {slot: amount for slot, amount in sorted(slots.items()) if amount},
        {model: amount for model, amount in sorted(devices.items()) if amount},
    )


def used_by(spans: Iterable[Span], by: By, period: Period | None = None) -> dict[str, Usage]:
    """The same for every session, user, project or domain that used anything, in the order of their names."""
    groups: dict[str, list[Span]] = {}
    for one in spans:
        groups.setdefault(getattr(one, by), []).append(one)
    found = {name: used(groups[name], period) for name in sorted(groups)}
    return {name: one for name, one in found.items() if one != Usage()}


@dataclass(frozen=True, slots=True)
class Prices:
    """What an hour costs. What has no price is free.

    Attributes:
        currency: as it is written behind amounts, such as KRW.
        digits: of a cost behind the point.
        slots: of what people call one: a core, a GiB of memory, a piece; `<kind>.shares` of one whole device.
        models: of one whole device of a model, instead of the price of its kind; upper and lower case are the same.
    """

    currency: str
    digits: int = 2
    slots: Mapping[str, Decimal] = field(default_factory=dict)
    models: Mapping[str, Decimal] = field(default_factory=dict)


Written = str | int | Mapping[str, str | int]

_PRICE: Final = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)
_UNITS: Final[Mapping[Unit, int]] = {Unit.MILLI: 1000, Unit.BYTES: 1024**3, Unit.COUNT: 1}


def parse_prices(written: Mapping[str, Written]) -> Prices:
    """Read `{"currency": "KRW", "digits": 0, "slots": {"cpu": "10", "cuda.device": 900}, "models": {"A100": "2500"}}`.

    Raises InvalidInput, or InvalidSlots for what is no slot.
    """
    unknown = sorted(written.keys() - {"currency", "digits", "slots", "models"})
    if unknown:
        raise InvalidInput(
            f"'{unknown[0][:40]}' is no part of a price table; write currency, digits, slots and models."
        )
    currency, digits = written.get("currency", ""), written.get("digits", 2)
    if not isinstance(currency, str) or not re.fullmatch(r"\S{1,12}", currency):
        raise InvalidInput("currency: name one, such as KRW or points.")
    if isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= 6:
        raise InvalidInput("digits: write how many a cost has behind the point, 0 to 6.")
    slots: dict[str, Decimal] = {}
    for slot, price in _entries("slots", written.get("slots", {})):
        unit_of(slot)  # is it one?
        kind, _, word = slot.rpartition(".")
        counts_as = shares_slot(kind) if word == "device" else slot
        if counts_as in slots:
            raise InvalidInput(f"{kind}.device and {kind}.shares are the same devices; give one price for both.")
        slots[counts_as] = price
    return Prices(currency, digits, slots, dict(_entries("models", written.get("models", {}))))


def write_prices(prices: Prices) -> dict[str, Written]:
    """As people write it; `parse_prices` reads the very same back."""
    return {
        "currency": prices.currency,
        "digits": prices.digits,
        "slots": {slot: f"{price:f}" for slot, price in sorted(prices.slots.items())},
        "models": {model: f"{price:f}" for model, price in sorted(prices.models.items())},
    }


def _entries(name: str, written: Written) -> Iterator[tuple[str, Decimal]]:
    if not isinstance(written, Mapping):
        raise InvalidInput(f"{name}: write a price for each, such as {{'cpu': '10'}}.")
    for key, value in written.items():
        text = str(value).strip()
        if isinstance(value, bool) or not isinstance(value, str | int) or not _PRICE.fullmatch(text):
            raise InvalidInput(f"{name}: '{text[:40]}' is no price for {key[:40]}; write one such as 2500 or 0.35.")
        yield key, Decimal(text)


def cost(usage: Usage, prices: Prices) -> Fraction:
    """What it costs, exactly: round it where it is told, and never before it is summed."""
    models = {model.casefold(): price for model, price in prices.models.items()}
    total = Fraction(0)
    for slot, amount in usage.slots.items():
        price = prices.slots.get(slot)
        if price:
            total += Fraction(price) * Fraction(amount, _UNITS[unit_of(slot)] * _MICROS * _HOUR)
    for one, hours in usage.device_hours().items():
        total += hours * Fraction(models.get(one.model.casefold(), prices.slots.get(shares_slot(one.kind), Decimal(0))))
    return total


def rounded(amount: Fraction, digits: int) -> Decimal:
    """For people; halves go up."""
    scaled = amount * 10**digits
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Decimal(whole).scaleb(-digits)


class Spending(StrEnum):
    """Where a budget stands."""

    WITHIN = "within"
    WARNING = "warning"  # tell the owners
    SPENT = "spent"  # nothing new starts; what becomes of what runs is the stop rule of the project


@dataclass(frozen=True, slots=True)
class Budget:
    """What a project may spend in a month, in the currency of the prices."""

    amount: Decimal
    warn_percent: int = 80

    def share(self, spent: Fraction) -> Fraction:
        """The part of it that is spent, 1 for all of it. Of a budget of nothing all is spent."""
        return spent / Fraction(self.amount) if self.amount else Fraction(1)

    def standing(self, spent: Fraction) -> Spending:
        """Where it stands: the limits themselves, 80 % and 100 %, are reached."""
        share = self.share(spent)
        if share >= 1:
            return Spending.SPENT
        return Spending.WARNING if share * 100 >= self.warn_percent else Spending.WITHIN
