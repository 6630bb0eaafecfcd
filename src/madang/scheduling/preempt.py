"""Preemption: which running batch sessions give way to an interactive one that does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from madang.domain.devices import WHOLE
from madang.domain.session import Layout, SessionKind
from madang.scheduling.capacity import how_many
from madang.scheduling.holds import Amount
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Amounts, Form, Request, Running, Snapshot
from madang.scheduling.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Freed:
    """Room of a node that comes free because somebody gives way, who would have left it later or never."""

    node: int
    room: Amount
    ends: float  # when it would have come free

    def give_back(self, timeline: Timeline, when: float) -> None:
        """Tell a timeline that it comes free already at a time."""
        timeline.give_back(self.node, self.room, when)
        if when < self.ends < np.inf:
            less = Amount(-self.room.slots, {kind: -milli for kind, milli in self.room.devices.items()})
            timeline.give_back(self.node, less, self.ends)


@dataclass(frozen=True, slots=True)
class Victims:
    """The sessions that give way, and all the room that they free."""

    sessions: tuple[Running, ...]
    freed: tuple[Freed, ...]


@dataclass(slots=True)
class _Candidate:
    session: Running
    work: tuple[float, float]  # device-seconds, then slot-seconds, that would be lost
    nodes: frozenset[int]
    room: dict[int, Amount] = field(default_factory=dict)  # that it holds, by node; filled in when looked at


class Preemption:
    """Chooses victims during one pass; nobody is chosen twice."""

    def __init__(self, snapshot: Snapshot, now: float) -> None:
        self._snapshot = snapshot
        self._places = snapshot.places
        self._now = now
        self._gone: set[str] = set()
        self._total: list[int] = np.maximum(snapshot.memory.total, 1).tolist()
        self._all: list[_Candidate] | None = None

    def victims(self, request: Request, form: Form, room: Room, timeline: Timeline) -> Victims | None:
        """The victims that lose the least work, no more than needed; None when no node could be cleared enough.

        `timeline` tells what is free now. Only for sessions whose containers lie on one node.
        """
        if form.size > 1 and form.layout is not Layout.ONE_NODE:
            return None
        by_node: dict[int, list[_Candidate]] = {}
        for one in self._candidates():
            if one.session.priority <= request.priority and one.session.id not in self._gone:
                for node in one.nodes:
                    by_node.setdefault(node, []).append(one)
        able = room.largest(form.shape) >= form.size
        # Cheapest first: once the cheapest victim of a node costs more than the best choice so far, nothing is better.
        order = sorted((node for node in by_node if able[node]), key=lambda node: (by_node[node][0].work, node))
        best: tuple[tuple[float, float], int, Sequence[_Candidate]] | None = None
        for node in order:
            if best is not None and by_node[node][0].work >= best[0]:
                break
            free = timeline.free_at(node, self._now)
            for one in by_node[node]:
                one.room = one.room or self._room_of(one.session)
            chosen = self._choose(by_node[node], node, free, form, room)
            if chosen and (best is None or _work(chosen) < best[0]):
                best = (_work(chosen), node, chosen)
        if best is None:
            return None
        chosen = best[2]
        self._gone |= {one.session.id for one in chosen}
        freed = []
        for one in chosen:
            ends = np.inf if one.session.ends is None else max(one.session.ends, self._now)
            freed += [Freed(node, room, ends) for node, room in one.room.items()]
        return Victims(tuple(one.session for one in chosen), tuple(freed))

    def _candidates(self) -> list[_Candidate]:
        """Whoever may have to give way, the least work first."""
        if self._all is None:
            found = [
                _Candidate(one, self._work(one), self._nodes_of(one))
                for one in self._snapshot.running
                if one.preemptible and one.kind is SessionKind.BATCH and not one.making_room_for
            ]
            self._all = sorted(found, key=lambda one: (one.work, one.session.id))
        return self._all

    def _nodes_of(self, one: Running) -> frozenset[int]:
        known = self._places.node
        return frozenset(known[part.node] for part in one.parts if part.node in known)

    def _work(self, one: Running) -> tuple[float, float]:
        seconds = max(self._now - one.started, 0.0)
        devices = sum(share.milli for part in one.parts for share in part.shares) / WHOLE
        slots = sum(
            amount / float(self._total[self._places.slot[slot]])
            for part in one.parts
            for slot, amount in part.slots.items()
        )
        return devices * seconds, slots * seconds

    def _room_of(self, one: Running) -> dict[int, Amount]:
        room: dict[int, Amount] = {}
        for part in one.parts:
            node = self._places.node.get(part.node)
            if node is None:
                continue
            slots = np.zeros(len(self._snapshot.slots), dtype=np.int64)
            milli = np.zeros(self._places.width, dtype=np.int64)
            self._places.write(part, slots, milli)
            devices = {}
            if part.kind in self._snapshot.devices:
                devices[part.kind] = milli[: self._snapshot.devices[part.kind].index.shape[1]]
            if node in room:
                room[node].add(Amount(slots, devices))
            else:
                room[node] = Amount(slots, devices)
        return room

    def _choose(
        self, candidates: Sequence[_Candidate], node: int, free: Amount, form: Form, room: Room
    ) -> Sequence[_Candidate]:
        """Of the sessions on a node, cheapest first, some whose room is enough: none of them could be spared."""

        def enough(gone: Iterable[_Candidate]) -> bool:
            return _fits(form, room, node, free, [one.room[node] for one in gone])

        single = next((one for one in candidates if enough([one])), None)
        chosen: list[_Candidate] = []
        for one in candidates:
            chosen.append(one)
            if enough(chosen):
                break
        else:
            return []
        for one in reversed(list(chosen)):
            rest = [other for other in chosen if other is not one]
            if enough(rest):
                chosen = rest
        return [single] if single is not None and single.work <= _work(chosen) else chosen


def _fits(form: Form, room: Room, node: int, free: Amount, more: Sequence[Amount]) -> bool:
    snapshot = room.snapshot
    slots = free.slots + sum((one.slots for one in more), np.zeros_like(free.slots))
    claim = snapshot.shapes[form.shape].claim
    devices: Amounts | None = None
    allowed = None
    if claim is not None and claim.kind in free.devices:
        devices = free.devices[claim.kind] + sum(one.devices.get(claim.kind, 0) for one in more)
        every = room.allowed(claim)
        devices, allowed = devices[None, :], None if every is None else every[node][None, :]
    count = how_many(snapshot.wanted[form.shape], slots[:, None], claim, devices, allowed)
    return bool(count[0] >= form.size) and bool(room.suitable(form.shape)[node])


def _work(chosen: Iterable[_Candidate]) -> tuple[float, float]:
    works = [one.work for one in chosen]
    return sum(work[0] for work in works), sum(work[1] for work in works)
