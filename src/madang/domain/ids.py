"""The one factory of identifiers, and the clock that everything reads time from."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Final, Protocol

ID_LENGTH: Final = 26

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"


class Clock(Protocol):
    """Where the time comes from, so that rules about time can be tested without waiting."""

    def now(self) -> datetime:
        """The current time, with its time zone (UTC)."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def new_id() -> str:
    """A new identifier: 26 lower-case characters (ULID, Crockford base 32) that sort by time of creation."""
    value = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10))
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
