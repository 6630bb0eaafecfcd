"""How far a node is from holding what it does not hold now."""

from __future__ import annotations

import numpy as np

from madang.scheduling.room import Room
from madang.scheduling.snapshot import Amounts, Flags, Times


def lacks(room: Room, shape: int, each: int, free: Amounts, devices: Amounts | None, *, able: Flags) -> Times:
    """How much every node lacks of room for so many containers of a shape, shape (N,); inf where it is not `able`.

    2 for every slot (or the devices) of which there is too little, plus the missing parts of what is asked: so the
    least lacking node lacks the fewest things, and of these the smallest part. `free` is (K, N), `devices` (N, D).
    """
    snapshot = room.snapshot
    wanted = snapshot.wanted[shape] * each
    asked = np.flatnonzero(wanted)
    short = np.maximum(wanted[asked, None] - np.maximum(free[asked], 0), 0) / wanted[asked, None]
    claim = snapshot.shapes[shape].claim
    if claim is not None and devices is not None:
        allowed = room.allowed(claim)
        usable = np.maximum(devices if allowed is None else np.where(allowed, devices, 0), 0)
        if claim.whole:
            have, want = (usable >= claim.milli).sum(axis=1), claim.count * each
        elif each == 1:
            have, want = usable.max(axis=1, initial=0), claim.milli
        else:
            have, want = (usable // claim.milli).sum(axis=1), each
        short = np.vstack([short, np.maximum(want - have, 0) / want])
    found: Times = (short > 0).sum(axis=0) * 2.0 + short.sum(axis=0)
    found[~able] = np.inf
    return found
