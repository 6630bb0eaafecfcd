"""One scheduling pass: a pure function from what is there to a decision for every waiting session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from madang.scheduling.explain import explain
from madang.scheduling.placement.base import PlacementPolicy
from madang.scheduling.placement.pack import PackPlacement
from madang.scheduling.queue.base import QueuePolicy
from madang.scheduling.queue.fifo import FifoQueue
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Placement:
    """The session gets a node."""

    session_id: str
    node: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The session keeps waiting, and why."""

    session_id: str
    reason: str


Decision = Placement | Wait

_FIFO: Final = FifoQueue()
_PACK: Final = PackPlacement()


def plan(
    snapshot: Snapshot, now: float, *, queue: QueuePolicy = _FIFO, placement: PlacementPolicy = _PACK
) -> list[Decision]:
    """Decide on every request: placements in the order they were made, then the waiting in the order of the queue.

    `now` is in seconds of the clock of `snapshot.arrived`. Nothing is ever given twice: placements together fit into
    what the snapshot says is free.
    """
    room = Room(snapshot)
    turn = queue.begin(snapshot, now)
    chooser = placement.begin(room)
    decisions: list[Decision] = []
    while (request := turn.next()) is not None:
        fits = room.fitting(request)
        if not fits.any():
            turn.refused(request)
            continue
        node = chooser.choose(request, fits)
        room.take(request, node)
        chooser.taken(node)
        turn.placed(request)
        decisions.append(Placement(snapshot.requests[request], snapshot.nodes[node]))
    for place, request in enumerate(turn.waiting(), start=1):
        decisions.append(Wait(snapshot.requests[request], explain(room, request, place)))
    return decisions
