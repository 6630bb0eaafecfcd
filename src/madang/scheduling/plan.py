"""One scheduling pass: a pure function from what is there to a decision for every waiting session."""

from __future__ import annotations

from typing import Final

from madang.domain.why import Value, Why, WhyCode
from madang.scheduling.decisions import Decision, Expire, Placement, Preempt, Wait
from madang.scheduling.placement.pack import PackPlacement
from madang.scheduling.policy import Policy
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Part, Snapshot

__all__ = ["Decision", "Expire", "Placement", "Preempt", "Wait", "plan"]

_PACK: Final = PackPlacement()


def plan(snapshot: Snapshot, now: float, policy: Policy = Policy(), *, reasons: bool = True) -> list[Decision]:
    """Decide on every request: placements in the order they were made, then the waiting in the order of the queue.

    `now` is in seconds of the clock of the snapshot. Nothing is ever given twice: placements together fit into what the
    snapshot says is free. Without `reasons` nothing is said about those who keep waiting, which is faster.
    """
    room = Room(snapshot)
    chooser = _PACK.begin(room)
    decisions: list[Decision] = []
    blocked = False
    rows = snapshot.requests.rows
    for place, request in enumerate(rows, start=1):
        shape = snapshot.forms[int(snapshot.requests.form[place - 1])].shape
        fits = room.fitting(shape)
        if blocked or not fits.any() or request.size > 1:
            blocked = True
            if reasons:
                values: dict[str, Value] = {"group": policy.group, "position": place, "of": len(rows)}
                decisions.append(Wait(request.id, Why(WhyCode.QUEUED, values), place, len(rows)))
            continue
        node = chooser.choose(shape, fits)
        shares = chooser.devices(shape, node)
        room.take(shape, node, shares)
        chooser.taken(node)
        kind = request.claim.kind if request.claim else ""
        decisions.append(Placement(request.id, (Part(snapshot.nodes[node], request.slots, kind, shares),)))
    return decisions
