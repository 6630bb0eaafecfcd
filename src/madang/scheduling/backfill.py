"""Backfilling (EASY: Lifka, "The ANL/IBM SP scheduling system", 1995): others may pass a session that has to wait, as
long as they leave alone the room on which it can start earliest, or have ended by then.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from madang.domain.devices import WHOLE
from madang.domain.session import Layout
from madang.scheduling.ends import NEVER
from madang.scheduling.holds import Amount, Hold
from madang.scheduling.room import Room
from madang.scheduling.shortage import lacks
from madang.scheduling.snapshot import Flags, Form
from madang.scheduling.timeline import Timeline
from madang.scheduling.topology import places_for


def keep_for(owner: str, form: Form, room: Room, timeline: Timeline, binding: Sequence[Hold]) -> tuple[Hold, float]:
    """The room to keep for a session that cannot start now, and when it can start on it (NEVER: nobody knows).

    `binding` is kept from it by others. Where no known end makes room enough, the nodes that will lack least are kept.
    """
    left = timeline.behind(binding)
    start, nodes = left.earliest(form)
    reserved = [hold for hold in binding if hold.reserved]
    if reserved and start > (over := max(hold.ends for hold in reserved)):
        # Reservations end: perhaps that comes first.
        freed = timeline.behind(hold for hold in binding if not hold.reserved)
        then, others = freed.earliest(form)
        if max(then, over) < start:
            start, nodes, left = max(then, over), others, freed
    if start == NEVER:
        nodes = _least_lacking(form, room, left)
    need = {node: needed(room, form.shape, count, node, left.free_at(node, start)) for node, count in nodes}
    later = {node: timeline.free_at(node, start) for node in need}
    # Where nobody knows how long it will be, everybody has to leave the room alone.
    return Hold(owner, start if start < NEVER else -NEVER, need, later, nodes), start


def needed(room: Room, shape: int, count: int, node: int, free: Amount) -> Amount:
    """The room for so many containers on a node with so much free, with the very devices they would get.

    Where too few devices are free, those that lack least.
    """
    snapshot = room.snapshot
    amount = Amount(snapshot.wanted[shape] * count)
    claim = snapshot.shapes[shape].claim
    if claim is None:
        return amount
    allowed = room.allowed(claim)
    may: Sequence[bool] = (
        snapshot.devices[claim.kind].present[node].tolist() if allowed is None else allowed[node].tolist()
    )
    left = free.devices[claim.kind].tolist()
    taken = np.zeros(len(left), dtype=np.int64)
    for _ in range(count):
        if sum(may[at] and left[at] >= claim.milli for at in range(len(left))) >= claim.count:
            places = places_for(claim, snapshot.devices[claim.kind], node, left, may)
        else:
            # A device that is kept already may be needed in full; then the next ones are kept.
            room_for = [at for at in range(len(left)) if may[at] and taken[at] + claim.milli <= WHOLE]
            places = sorted(room_for, key=lambda at: (-left[at], at))[: claim.count]
        for at in places:
            left[at] -= claim.milli
            taken[at] += claim.milli
    amount.devices[claim.kind] = taken
    return amount


def _least_lacking(form: Form, room: Room, timeline: Timeline) -> list[tuple[int, int]]:
    """Nodes, and how many containers on each, where the least is lacking after all known ends."""
    free, devices = timeline.free_everywhere(NEVER)
    claim = room.snapshot.shapes[form.shape].claim
    of_kind = devices.get(claim.kind) if claim else None
    largest = room.largest(form.shape)
    if form.layout is Layout.ANY and form.size > 1:
        lack = lacks(room, form.shape, 1, free, of_kind, able=largest > 0)
        order = np.lexsort((np.arange(len(largest)), lack, -largest))
        return _filled(order.tolist(), largest.tolist(), form.size)
    each = form.size if form.layout is Layout.ONE_NODE else 1
    able: Flags = largest >= each
    lack = lacks(room, form.shape, each, free, of_kind, able=able)
    nodes = form.size if form.layout is Layout.SPREAD else 1
    best = np.lexsort((np.arange(len(lack)), lack))[: min(nodes, int(able.sum()))]
    return [(int(node), each) for node in best]


def _filled(order: Sequence[int], largest: Sequence[int], size: int) -> list[tuple[int, int]]:
    chosen, left = [], size
    for node in order:
        count = min(left, largest[node])
        if count:
            chosen.append((node, count))
            left -= count
    return chosen
