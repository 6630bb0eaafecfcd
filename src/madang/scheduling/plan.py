"""One scheduling pass: a pure function from what is there to a decision for every waiting session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from madang.scheduling.decisions import Decision, Expire, Placement, Preempt, Wait
from madang.scheduling.eligible import gate
from madang.scheduling.placement.base import PlacementPolicy
from madang.scheduling.placement.fgd import FgdPlacement
from madang.scheduling.placement.pack import PackPlacement
from madang.scheduling.placement.spread import SpreadPlacement
from madang.scheduling.policy import PlacementName, Policy, Queue
from madang.scheduling.queue.base import QueuePolicy
from madang.scheduling.queue.drf import DrfQueue
from madang.scheduling.queue.fair_share import FairShareQueue
from madang.scheduling.queue.fifo import FifoQueue
from madang.scheduling.queue.lifo import LifoQueue
from madang.scheduling.serving import Serving
from madang.scheduling.snapshot import Snapshot
from madang.scheduling.waiting import waits

__all__ = ["PLACEMENTS", "QUEUES", "Decision", "Expire", "Placement", "Preempt", "Wait", "plan"]

QUEUES: Final[Mapping[Queue, QueuePolicy]] = {
    "fifo": FifoQueue(),
    "lifo": LifoQueue(),
    "drf": DrfQueue(),
    "fair-share": FairShareQueue(),
}
PLACEMENTS: Final[Mapping[PlacementName, PlacementPolicy]] = {
    "pack": PackPlacement(),
    "spread": SpreadPlacement(),
    "fgd": FgdPlacement(),
}


def plan(snapshot: Snapshot, now: float, policy: Policy = Policy(), *, reasons: bool = True) -> list[Decision]:
    """Decide on every request: placements in the order they were made, who gives way, who waits in vain, and then who
    waits, in the order of the queue.

    `now` is in seconds of the clock of the snapshot. Nothing is ever given twice: placements together fit into what the
    snapshot says is free. Without `reasons` nothing is said about those who keep waiting, which is faster.
    """
    found = gate(snapshot, now, policy, reasons=reasons)
    serving = Serving(snapshot, found.line, now, policy, PLACEMENTS[policy.placement])
    serving.serve(QUEUES[policy.queue], reasons=reasons)
    decisions: list[Decision] = [*serving.placements, *serving.preempted, *found.expired]
    if reasons:
        decisions += waits(serving)
        decisions += found.waits
    return decisions
