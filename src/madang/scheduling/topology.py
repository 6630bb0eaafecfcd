"""Which devices of a node a container gets: linked ones on one NUMA node for several, the fullest one for a part."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from madang.domain.devices import Claim, Share
from madang.scheduling.room import Room
from madang.scheduling.snapshot import DeviceColumns


def pick(room: Room, shape: int, node: int) -> tuple[Share, ...]:
    """The devices for one container of a shape on a node where it fits; none when it asks for none."""
    claim = room.snapshot.shapes[shape].claim
    if claim is None:
        return ()
    columns, allowed = room.snapshot.devices[claim.kind], room.allowed(claim)
    free = room.device_free[claim.kind][node].tolist()
    places = places_for(claim, columns, node, free, None if allowed is None else allowed[node].tolist())
    index = columns.index[node].tolist()
    return tuple([_share(index[place], claim.milli) for place in places])


@lru_cache(maxsize=4096)
def _share(index: int, milli: int) -> Share:
    """The same object for the same share, since there are few of them and they are asked for often."""
    return Share(index, milli)


def places_for(
    claim: Claim, columns: DeviceColumns, node: int, free: Sequence[int], allowed: Sequence[bool] | None
) -> Sequence[int]:
    """The places of the devices for one container on a node where it fits.

    `free` are thousandths by place, `allowed` says which places are of a right model (None: all). A part of a device
    goes where least is left; whole devices are chosen linked, on one NUMA node, and so that they break up no group that
    is larger than needed.
    """
    usable = [at for at, amount in enumerate(free) if amount >= claim.milli and (allowed is None or allowed[at])]
    if not claim.whole:
        return [min(usable, key=lambda at: (free[at], at))]
    if len(usable) <= claim.count:
        return usable
    return _group(tuple(usable), claim.count, columns.links[node], tuple(columns.numa[node].tolist()))


@lru_cache(maxsize=4096)
def _group(usable: tuple[int, ...], count: int, links: tuple[int, ...], numa: tuple[int, ...]) -> tuple[int, ...]:
    """So many of the usable places: grown from each place in turn by whichever suits best, and the best of these."""
    if len({numa[at] for at in usable}) == 1 and not any(links[at] for at in usable):
        return usable[:count]

    def bond(one: int, other: int) -> int:
        return 2 * (links[one] >> other & 1) + (numa[one] == numa[other])

    best: tuple[int, tuple[int, ...]] | None = None
    for seed in usable:
        chosen = [seed]
        while len(chosen) < count:
            rest = [at for at in usable if at not in chosen]
            chosen.append(
                max(
                    rest,
                    key=lambda at: (
                        sum(bond(at, one) for one in chosen),
                        -sum(bond(at, one) for one in rest),
                        -at,
                    ),
                )
            )
        inside = sum(bond(one, other) for one in chosen for other in chosen if one < other)
        broken = sum(bond(one, other) for one in chosen for other in usable if other not in chosen)
        key = (4 * inside * len(usable) - broken, tuple(sorted(chosen)))
        if best is None or key[0] > best[0] or (key[0] == best[0] and key[1] < best[1]):
            best = key
    assert best is not None  # noqa: S101 - there are usable places
    return best[1]
