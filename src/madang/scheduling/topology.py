"""Which devices of a node a container gets: linked ones on one NUMA node for several, the fullest one for a part."""

from __future__ import annotations

from madang.domain.devices import Share
from madang.scheduling.room import Room


def pick(room: Room, shape: int, node: int) -> tuple[Share, ...]:
    """The devices for one container of a shape that fits on a node; none when it asks for none."""
    claim = room.snapshot.shapes[shape].claim
    if claim is None:
        return ()
    free = room.device_free[claim.kind][node].tolist()
    index = room.snapshot.devices[claim.kind].index[node].tolist()
    allowed = room.allowed(claim)[node].tolist()
    usable = [at for at, amount in enumerate(free) if allowed[at] and amount >= claim.milli]
    if not claim.whole:
        usable.sort(key=lambda at: free[at])
    return tuple(Share(index[at], claim.milli) for at in usable[: claim.count])
