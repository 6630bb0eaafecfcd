"""Lengths of time as people write them: `90s`, `2h`, `1h30m`."""

from __future__ import annotations

import re
from typing import Final

from madang.domain.errors import InvalidInput

_UNITS: Final = (("d", 86_400), ("h", 3600), ("m", 60))
_LENGTHS: Final = {"w": 7 * 86_400, **dict(_UNITS), "s": 1}
_PART: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([wdhms])", re.ASCII)


def format_seconds(seconds: float) -> str:
    """`7200` is `2h`, `5400` is `1h30m`, `0.5` is `0.5s`; beyond a minute whole seconds are enough."""
    if seconds < 60:
        return f"{round(seconds, 3):g}s"
    rest = round(seconds)
    parts = []
    for unit, length in _UNITS:
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) + (f"{rest}s" if rest else "")


def parse_seconds(written: str) -> float:
    """Read `90s`, `30m`, `1h30m`, `1.5h`, `7d`, `2w`. Raises InvalidInput, also for a number without a unit."""
    rest = written.strip().lower()
    total = 0.0
    while match := _PART.match(rest):
        total += float(match[1]) * _LENGTHS[match[2]]
        rest = rest[match.end() :].lstrip()
    if rest or not written.strip():
        raise InvalidInput(f"'{written[:40]}' is not a length of time; write e.g. 90s, 30m, 2h, 1h30m or 7d.")
    return total
