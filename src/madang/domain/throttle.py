"""How long to wait after failed attempts to sign in: twice as long after each, and less again as time passes."""

from __future__ import annotations

import ipaddress
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final


@dataclass(frozen=True, slots=True)
class Limit:
    """A rule for one kind of key.

    Attributes:
        free: failures after which there is no wait yet.
        most_seconds: the longest wait; it begins with 1 s and doubles.
        forget_seconds: after so long, one failure less counts.
    """

    free: int
    most_seconds: int
    forget_seconds: float


@dataclass(frozen=True, slots=True)
class Tally:
    """Failures that count, as of a moment; a row of the table."""

    count: float
    at: datetime


PAIR: Final = Limit(free=5, most_seconds=300, forget_seconds=600)
"""One account from one address: somebody who does not know the password."""
ACCOUNT: Final = Limit(free=30, most_seconds=60, forget_seconds=60)
"""One account from anywhere: many who guess together. Mild, because it also keeps the owner out."""
ADDRESS: Final = Limit(free=100, most_seconds=300, forget_seconds=10)
"""Any account from one address: one who tries a password on everybody. A class behind one address passes."""

NOTHING_AFTER_SECONDS: Final = 86_400
"""A tally that was not touched for so long counts nothing under any limit and can be deleted."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to sign in: the tallies that it counts in, and the rule of each."""

    pair: str
    limits: Mapping[str, Limit]


def attempt_of(account: str, address: str) -> Attempt:
    """The attempt to sign in as `account` (as typed) from a network address."""
    name = unicodedata.normalize("NFKC", account[:200]).casefold().strip()
    place = _place(address)
    pair = f"pair {name} {place}"
    return Attempt(pair, {pair: PAIR, f"account {name}": ACCOUNT, f"address {place}": ADDRESS})


def wait_seconds(tallies: Mapping[str, Tally], attempt: Attempt, now: datetime) -> int:
    """How many seconds the attempt has to wait from now on; 0 when it may be made."""
    return max((_wait(tallies[key], limit, now) for key, limit in attempt.limits.items() if key in tallies), default=0)


def counted(tallies: Mapping[str, Tally], attempt: Attempt, now: datetime) -> dict[str, Tally]:
    """The tallies with one failure more."""
    return {key: Tally(_left(tallies.get(key), limit, now) + 1, now) for key, limit in attempt.limits.items()}


def taken_back(tallies: Mapping[str, Tally], attempt: Attempt) -> dict[str, Tally]:
    """The tallies when the attempt was no failure after all: who knows the password starts anew."""
    return {
        key: replace(tally, count=0 if key == attempt.pair else max(tally.count - 1, 0))
        for key, tally in tallies.items()
        if key in attempt.limits
    }


def _wait(tally: Tally, limit: Limit, now: datetime) -> int:
    over = round(tally.count) - limit.free
    if over < 0:
        return 0
    seconds = min(1 << min(over, 60), limit.most_seconds)
    return max(math.ceil(seconds - (now - tally.at).total_seconds()), 0)


def _left(tally: Tally | None, limit: Limit, now: datetime) -> float:
    if tally is None:
        return 0
    return max(tally.count - max((now - tally.at).total_seconds(), 0) / limit.forget_seconds, 0)


def _place(address: str) -> str:
    """An address as far as one customer of a provider can change it: of IPv6 the network."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:200]
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
