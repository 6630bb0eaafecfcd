"""Where the least of what nodes are worth to others is lost, so that free devices do not become unusable crumbs.

Fragmentation gradient descent, after "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation
Gradient Descent" (Weng et al., USENIX ATC 2023), with a measure of fragmentation that looks further (see worth.py) and
a demand that is learnt from the requests themselves.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from madang.domain.devices import WHOLE, Claim, Share
from madang.scheduling.demand import Demand
from madang.scheduling.placement.base import Chooser
from madang.scheduling.placement.worth import Numbers, Worth
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Amounts, Flags
from madang.scheduling.topology import pick

_NEARLY: Final = 10.0
"""Thousandths of a device: nodes that differ by less are told apart by how full they are."""

_FULLER: Final = 1e-6

_ROUNDED: Final = 1e4  # losses are compared as whole numbers, so that they never depend on the order of a sum
_LINEAGES: Final = 16  # resource groups of which something is remembered
_NEVER: Final = np.iinfo(np.int64).max


@dataclass(slots=True)
class _Losses:
    """What placing one container of a shape costs on every node, (N,), and the place of the device it would get.

    `made_of` are the versions of the nodes that this is true for, 0: nothing is known.
    """

    loss: Amounts
    place: Amounts
    made_of: Amounts


@dataclass(slots=True)
class _Memory:
    """What is known of one lineage under one demand."""

    demand: Demand
    worth: dict[str, Worth]  # by kind of device
    fullness: Numbers  # (K,): what a free unit of each slot makes a node emptier
    losses: dict[int, _Losses] = field(default_factory=dict)  # by shape
    moved: dict[tuple[str, int], Numbers] = field(default_factory=dict)  # by kind and thousandths


class _FgdChooser:
    def __init__(self, room: Room, memory: _Memory) -> None:
        self._room = room
        self._memory = memory
        self._losses: dict[int, _Losses] = {}
        self._stale: dict[int, Flags] = {}  # where the losses of a shape are not known
        self._seen: dict[int, int] = {}  # how many of the changes a shape knows of
        self._changes: list[int] = []

    def choose(self, shape: int, fits: Flags) -> int:
        losses = self._known(shape, fits)
        return int(np.where(fits, losses.loss, _NEVER).argmin())

    def devices(self, shape: int, node: int) -> tuple[Share, ...]:
        claim = self._room.snapshot.shapes[shape].claim
        if claim is None or claim.whole:
            return pick(self._room, shape, node)
        only = np.zeros(len(self._room.snapshot.nodes), dtype=np.bool_)
        only[node] = True
        place = self._known(shape, only).place.item(node)
        return (Share(self._room.snapshot.devices[claim.kind].index.item(node, place), claim.milli),)

    def taken(self, node: int) -> None:
        self._changes.append(node)

    def _known(self, shape: int, wanted: Flags) -> _Losses:
        """The losses of a shape, up to date on the nodes that are wanted."""
        losses = self._losses.get(shape) or self._begin(shape)
        stale, seen = self._stale[shape], self._seen[shape]
        if seen < len(self._changes):
            stale[self._changes[seen:]] = True
            self._seen[shape] = len(self._changes)
        nodes = np.flatnonzero(stale & wanted)
        if len(nodes):
            losses.loss[nodes], losses.place[nodes] = self._cost(shape, nodes)
            stale[nodes] = False
            self._remember(shape, losses, nodes)
        return losses

    def _begin(self, shape: int) -> _Losses:
        count = len(self._room.snapshot.nodes)
        known = self._memory.losses.get(shape)
        if known is None:
            zeros = np.zeros(count, dtype=np.int64)
            known = self._memory.losses[shape] = _Losses(zeros, zeros.copy(), zeros.copy())
        versions = self._room.versions
        self._stale[shape] = (known.made_of != versions) | (versions == 0)
        self._seen[shape] = len(self._changes)
        losses = self._losses[shape] = _Losses(known.loss.copy(), known.place.copy(), known.made_of)
        return losses

    def _remember(self, shape: int, losses: _Losses, nodes: Amounts) -> None:
        """For later passes, where nothing has changed since the snapshot was taken."""
        versions = self._room.versions[nodes]
        lasting = nodes[versions != 0]
        if len(lasting):
            known = self._memory.losses[shape]
            known.loss[lasting], known.place[lasting] = losses.loss[lasting], losses.place[lasting]
            known.made_of[lasting] = self._room.versions[lasting]

    def _cost(self, shape: int, nodes: Amounts) -> tuple[Amounts, Amounts]:
        """The losses on M nodes where the shape fits, and the places of the devices for a part of one, both (M,)."""
        room, memory = self._room, self._memory
        claim, wanted = room.snapshot.shapes[shape].claim, room.snapshot.wanted[shape]
        count = len(nodes)
        before = room.free[:, nodes]
        slots: Amounts = np.concatenate([before, before - wanted[:, None]], axis=1)
        loss: Numbers = (memory.fullness[:, None] * before).sum(axis=0)
        place = np.zeros(count, dtype=np.int64)
        for kind, worth in memory.worth.items():
            free = room.device_free[kind][nodes]
            group = None if worth.group is None else worth.group[nodes]
            fill: Numbers = (worth.fill[0][free] if group is None else worth.fill[group, free]).sum(axis=1)
            whole: Amounts = (free == WHOLE).sum(axis=1)
            fill_after, whole_after = fill, whole
            if claim is not None and claim.kind == kind:
                allowed = room.allowed(claim)
                usable = free if allowed is None else np.where(allowed[nodes], free, 0)
                moved, place = self._moved(worth, claim, usable, group)
                fill_after = fill + moved
                whole_after = whole - (claim.count if claim.whole else free[np.arange(count), place] == WHOLE)
            both = worth.of(slots, np.concatenate([fill, fill_after]), np.concatenate([whole, whole_after]))
            loss += both[:count] - both[count:]
            loss += _NEARLY * (free.any(axis=1) if claim is None else 0)
        return np.rint(loss * _ROUNDED).astype(np.int64), place

    def _moved(self, worth: Worth, claim: Claim, usable: Amounts, group: Amounts | None) -> tuple[Numbers, Amounts]:
        """How the claim changes the sum of what devices will hold, (M, 1 + K), and where it does so best, (M,)."""
        table = self._memory.moved.get((claim.kind, claim.milli))
        if table is None:
            table = worth.fill[:, :1].repeat(WHOLE + 1, axis=1)
            table[:, claim.milli :] = worth.fill[:, : WHOLE + 1 - claim.milli]
            table -= worth.fill
            table[:, :, 0] -= np.arange(WHOLE + 1) * _FULLER  # of devices that are alike the fullest
            table[:, : claim.milli, 0] = -np.inf  # too little is free
            self._memory.moved[claim.kind, claim.milli] = table
        rows = np.arange(len(usable))
        change: Numbers = table[0, :, 0][usable] if group is None else table[group, usable, 0]
        place = change.argmax(axis=1)
        chosen = usable[rows, place]
        moved: Numbers = table[0][chosen] if group is None else table[group[rows, place], chosen]
        return moved * claim.count, place


class FgdPlacement:
    """Where fragmentation grows least, by what has been asked for lately; of nodes that are alike on the fullest."""

    def __init__(self) -> None:
        self._memories: OrderedDict[int, _Memory] = OrderedDict()

    def begin(self, room: Room) -> Chooser:
        snapshot = room.snapshot
        memory = self._memories.get(snapshot.lineage)
        if memory is None or memory.demand is not snapshot.demand:
            worth = {
                kind: Worth(kind, snapshot.demand, columns, snapshot.slots)
                for kind, columns in snapshot.devices.items()
            }
            largest = np.maximum(snapshot.capacity.max(axis=1, initial=1), 1)
            memory = _Memory(snapshot.demand, worth, _NEARLY / largest / max(1, len(largest)))
            self._memories[snapshot.lineage] = memory
        self._memories.move_to_end(snapshot.lineage)
        while len(self._memories) > _LINEAGES:
            self._memories.popitem(last=False)
        return _FgdChooser(room, memory)
