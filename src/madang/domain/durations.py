"""Lengths of time as people write them: `90s`, `2h`, `1h30m`."""

from __future__ import annotations

from typing import Final

_UNITS: Final = (("d", 86_400), ("h", 3600), ("m", 60))


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
