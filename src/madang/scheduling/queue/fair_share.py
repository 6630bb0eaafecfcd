"""Fair share: who used least of late goes next, where use long ago counts less and less."""

from __future__ import annotations

import math

import numpy as np

from madang.domain.devices import shares_slot
from madang.scheduling.policy import Policy
from madang.scheduling.queue.base import Line, Turn
from madang.scheduling.queue.shares import ShareTurn
from madang.scheduling.snapshot import Snapshot, Times


class FairShareQueue:
    """By decayed use so far, as an average share of the group, plus the share that is held now; weighted.

    Use t seconds ago counts 2**(-t / half-life). Somebody who has always held a share s has used s * half-life / ln 2
    of the group's slot-seconds by this count, so divided by that, use is a share of the group like what is held now.
    """

    by_arrival = False

    def begin(self, snapshot: Snapshot, line: Line, now: float, policy: Policy) -> Turn:
        return ShareTurn(snapshot, line, policy, _used(snapshot, now, policy))


def _used(snapshot: Snapshot, now: float, policy: Policy) -> Times:
    """The share of the group that every user has used on average of late, shape (U, K + Q)."""
    span = policy.half_life_seconds / math.log(2)
    total = np.maximum(snapshot.memory.total, 1) * span
    used = np.zeros((len(snapshot.users), len(total)))
    names = [*snapshot.slots, *(shares_slot(kind) for kind in snapshot.devices)]
    place = {name: at for at, name in enumerate(names)}
    for number, user in enumerate(snapshot.users):
        for name, amount in policy.history.get(user, {}).items():
            if name in place:
                used[number, place[name]] += amount
    holdings = snapshot.holdings
    # What runs has not been written into the history yet: the integral of the decaying count since it started.
    seconds = span * -np.expm1(-np.maximum(now - holdings.started, 0) / span)
    slots = holdings.slots.shape[1]
    np.add.at(used[:, :slots], holdings.user, holdings.slots * seconds[:, None])
    some = np.flatnonzero(holdings.kind >= 0)
    np.add.at(
        used, (holdings.user[some], slots + holdings.kind[some]), holdings.milli[some].sum(axis=1) * seconds[some]
    )
    # Rounded, so that the order in which floats were added up decides nothing.
    return np.round(used / total, 12)
