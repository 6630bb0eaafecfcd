"""Counted resources: amounts are integers in a base unit; people read and write `0.5`, `8g`, `500m`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from madang.domain.errors import InvalidSlots

MAX_AMOUNT: Final = 2**63 - 1
"""Largest amount of any slot: what a PostgreSQL bigint and numpy int64 hold."""


class Unit(StrEnum):
    """How the amount of a slot is counted and written."""

    MILLI = "milli"  # thousandths: `0.5`, `2`, `500m`
    BYTES = "bytes"  # bytes: `512m`, `8g`, `1.5GiB`; all suffixes are powers of 1024
    COUNT = "count"  # whole things: `3`


UNITS: Final[Mapping[str, Unit]] = {"cpu": Unit.MILLI, "mem": Unit.BYTES}
"""Slots that are not plain counts, beside the shares of devices. Every other valid slot name is a count."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(\.[a-z][a-z0-9_-]*)?", re.ASCII)
_BYTES: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
_MILLI: Final = re.compile(r"(\d+(?:\.\d+)?)(m?)", re.ASCII)
_POWER: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def unit_of(name: str) -> Unit:
    """The unit in which slot `name` is counted. Raises InvalidSlots for a malformed name."""
    if not _NAME.fullmatch(name) or len(name) > 64:
        raise InvalidSlots(f"'{name[:60]}' is not a slot name; write e.g. cpu, mem, cuda.shares or cuda.device.")
    return Unit.MILLI if name.endswith(".shares") else UNITS.get(name, Unit.COUNT)


def parse_amount(name: str, value: str | int) -> int:
    """Read one amount as an integer in the base unit of slot `name`.

    A string is what people write (`"0.5"` of `cpu` is 500); an integer already is in the base unit (500 is 500).
    Raises InvalidSlots when it is malformed, negative, finer than the base unit, or too large.
    """
    unit = unit_of(name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidSlots(f"{name}: write a string such as '2' or '8g', or an integer in the base unit.")
    amount = value if isinstance(value, int) else _parse_text(name, unit, value)
    # The amount is not shown: Python refuses to write out integers of thousands of digits.
    if amount < 0:
        raise InvalidSlots(f"{name}: the amount is negative.")
    if amount > MAX_AMOUNT:
        raise InvalidSlots(f"{name}: the amount is larger than any machine.")
    return amount


def _parse_text(name: str, unit: Unit, text: str) -> int:
    written = text.strip()
    if len(written) > 40:
        raise InvalidSlots(f"{name}: the amount is longer than any number needs to be.")
    # Fractions are exact, where a decimal would round what is written with very many digits.
    if unit is Unit.BYTES:
        match = _BYTES.fullmatch(written)
        if match is None:
            raise InvalidSlots(f"{name}: cannot read '{written}'; write e.g. 512m, 8g or 1.5g.")
        exact = Fraction(match[1]) * 1024 ** _POWER[match[2].lower()]
    elif unit is Unit.MILLI:
        match = _MILLI.fullmatch(written)
        if match is None:
            raise InvalidSlots(f"{name}: cannot read '{written}'; write e.g. 2, 0.5 or 500m.")
        exact = Fraction(match[1]) * (1 if match[2] else 1000)
    else:
        if not written.isascii() or not written.isdigit():
            raise InvalidSlots(f"{name}: cannot read '{written}'; write a whole number such as 1.")
        exact = Fraction(written)
    if exact.denominator != 1:
        raise InvalidSlots(f"{name}: '{written}' is finer than the smallest amount that is counted.")
    return int(exact)


def format_amount(name: str, amount: int) -> str:
    """Write an amount for people so that `parse_amount` reads the very same integer back."""
    unit = unit_of(name)
    if unit is Unit.MILLI:
        whole, rest = divmod(amount, 1000)
        return str(whole) if rest == 0 else f"{whole}.{rest:03d}".rstrip("0")
    if unit is Unit.BYTES:
        for suffix, power in (("p", 5), ("t", 4), ("g", 3), ("m", 2), ("k", 1)):
            if amount and amount % 1024**power == 0:
                return f"{amount // 1024**power}{suffix}"
            half = Decimal(amount) / 1024**power
            if half >= 1 and half == round(half, 2):
                return f"{half.normalize():f}{suffix}"
    return str(amount)


@dataclass(frozen=True, init=False, repr=False)
class Slots(Mapping[str, int]):
    """An immutable amount of several slots; a missing slot is zero, and zeros are not kept."""

    _amounts: tuple[tuple[str, int], ...]

    def __init__(self, amounts: Mapping[str, int] | None = None) -> None:
        checked = sorted((name, parse_amount(name, int(amount))) for name, amount in (amounts or {}).items())
        object.__setattr__(self, "_amounts", tuple((name, amount) for name, amount in checked if amount))

    @classmethod
    def parse(cls, written: Mapping[str, str | int]) -> Slots:
        """Read `{"cpu": "0.5", "mem": "8g"}`; see parse_amount for the rules and errors."""
        return cls({name: parse_amount(name, value) for name, value in written.items()})

    def __getitem__(self, name: str) -> int:
        for key, amount in self._amounts:
            if key == name:
                return amount
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._amounts)

    def __len__(self) -> int:
        return len(self._amounts)

    def __hash__(self) -> int:
        return hash(self._amounts)

    def __repr__(self) -> str:
        return f"Slots({self.human()})"

    def amount(self, name: str) -> int:
        """The amount of one slot, zero when there is none."""
        return self.get(name, 0)

    def __add__(self, other: Mapping[str, int]) -> Slots:
        return Slots({name: self.amount(name) + other.get(name, 0) for name in self.keys() | other.keys()})

    def __sub__(self, other: Mapping[str, int]) -> Slots:
        """Raises InvalidSlots when any slot would fall below zero: nothing goes negative silently."""
        for name, amount in other.items():
            if amount > self.amount(name):
                raise InvalidSlots(
                    f"{name}: cannot take {format_amount(name, amount)} from {format_amount(name, self.amount(name))}."
                )
        return Slots({name: amount - other.get(name, 0) for name, amount in self.items()})

    def covers(self, other: Mapping[str, int]) -> bool:
        """Whether every slot of `other` fits into this amount."""
        return all(amount <= self.amount(name) for name, amount in other.items())

    def human(self) -> str:
        """One line for people: `cpu 0.5, mem 8g`."""
        return ", ".join(f"{name} {format_amount(name, amount)}" for name, amount in self._amounts) or "nothing"
