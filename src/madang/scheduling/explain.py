"""Why a session waits, in one sentence that people can act on."""

from __future__ import annotations

from typing import Final

import numpy as np

from madang.domain.slots import format_amount
from madang.scheduling.room import Room

EXACT: Final = 50
"""Up to this place a reason tells the exact place and what is short; further back it would change all the time."""


def explain(room: Room, request: int, place: int) -> str:
    """The reason of a request that keeps waiting at a place of the queue (1 is the head)."""
    if place > EXACT:
        return f"position about {_rounded(place):,} in the queue; earlier sessions come first"
    if room.fitting(request).any():
        return f"fits, but earlier sessions come first; position {place} in the queue"
    return f"{_shortage(room, request)}; position {place} in the queue"


def _rounded(place: int) -> int:
    """One significant digit, so that the sentence stays the same for a while."""
    step: int = 10 ** (len(str(place)) - 1)
    return max(place // step * step, EXACT)


def _shortage(room: Room, request: int) -> str:
    snapshot = room.snapshot
    suitable = room.suitable(request)
    if not suitable.any():
        if not snapshot.nodes:
            return "no node is ready"
        needs = sorted(snapshot.needs[request])
        missing = [
            need
            for need in needs
            if need not in snapshot.features or not snapshot.offers[snapshot.features.index(need)].any()
        ]
        return f"no ready node offers {' and '.join(missing or needs)}"
    wanted = snapshot.wanted[request]
    asked = wanted > 0
    # The best node lacks the fewest slots, and of those the smallest share of what is asked for.
    short = np.maximum(wanted[asked, None] - room.free[asked], 0) / wanted[asked, None]
    badness = np.where(suitable, (short > 0).sum(axis=0) * 2.0 + short.sum(axis=0) / max(int(asked.sum()), 1), np.inf)
    best = int(np.argmin(badness))
    lacking = [
        (snapshot.slots[slot], int(wanted[slot]), int(room.free[slot, best]))
        for slot in np.flatnonzero(asked)
        if room.free[slot, best] < wanted[slot]
    ]
    needs_text = " and ".join(f"{format_amount(name, want)} {name}" for name, want, _ in lacking)
    free_text = " and ".join(f"{format_amount(name, free)} {name}" for name, _, free in lacking)
    if len(lacking) == 1:
        free_text = format_amount(lacking[0][0], lacking[0][2])
    return f"needs {needs_text}; the best node {snapshot.nodes[best]} has {free_text} free"
