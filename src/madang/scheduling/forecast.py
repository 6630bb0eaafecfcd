"""When those at the front of the queue will probably start, if everybody runs as long as is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from madang.scheduling.backfill import needed
from madang.scheduling.ends import NEVER
from madang.scheduling.holds import Hold
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Snapshot
from madang.scheduling.timeline import Timeline


def forecast(
    snapshot: Snapshot, room: Room, timeline: Timeline, rows: Sequence[int], kept: Mapping[int, Hold], *, strict: bool
) -> dict[int, float]:
    """The estimated starts of requests, which are given in the order of the queue; who is missing may wait for ever.

    Everybody in turn gets the earliest time at which there is room beside those before, who keep theirs from now until
    they end: so nobody delays who comes first, and estimates are late rather than early. `kept` is the room that is
    kept for some of them already. `strict`: nobody starts before those ahead.
    """
    found: dict[int, float] = {}
    last = -NEVER
    left = timeline.behind(())
    for row in rows:
        form = snapshot.forms[int(snapshot.requests.form[row])]
        hold = kept.get(row)
        if hold is not None:
            start, need = hold.starts, hold.need
        else:
            start, nodes = left.earliest(form)
            need = {node: needed(room, form.shape, count, node, left.free_at(node, start)) for node, count in nodes}
        if start in (NEVER, -NEVER):
            if strict:
                break
            if hold is not None:
                for node, amount in need.items():
                    left.occupy(node, amount)
            continue
        if strict:
            start = max(start, last)
        found[row] = last = start
        ends = start + float(snapshot.requests.max_seconds[row])
        for node, amount in need.items():
            left.occupy(node, amount)
            if ends < NEVER:
                left.give_back(node, amount, ends)
    return found
