"""Use that counts less and less the longer ago it was."""

from __future__ import annotations

import math


def decayed_seconds(seconds: float, half_life_seconds: float) -> float:
    """What remains, at the end of a time, of the seconds of that time: each second has decayed since it passed."""
    rate = math.log(2) / half_life_seconds
    return -math.expm1(-rate * seconds) / rate
