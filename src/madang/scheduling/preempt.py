"""Preemption: which running batch sessions give way to an interactive one that does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from madang.domain.devices import WHOLE
from madang.domain.session import Layout
from madang.scheduling.capacity import how_many
from madang.scheduling.columns import NOBODY
from madang.scheduling.ends import sums_from
from madang.scheduling.holds import Amount
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Amounts, Flags, Form, Request, Snapshot, Times
from madang.scheduling.timeline import Timeline

_LOOKED_AT = 12  # so many nodes, where the least work would be lost at first sight, are looked at closely


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
    """The sessions that give way, with their numbers among the holdings, and all the room that they free."""

    sessions: tuple[str, ...]
    numbers: tuple[int, ...]
    freed: tuple[Freed, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Candidates:
    """What sessions that may have to give way hold, one row for a session and a node, by node and the work at stake."""

    owner: npt.NDArray[np.str_]
    session: Amounts
    yields: Amounts
    node: Amounts
    work: Times  # (2, C): device-seconds and slot-seconds that would be lost with the session
    slots: Amounts  # (C, K)
    devices: Mapping[str, Amounts]  # (C, D) by kind
    ends: Times

    def some(self, which: Flags) -> _Candidates:
        """Some of the rows."""
        rows = np.flatnonzero(which)
        return _Candidates(
            self.owner[rows],
            self.session[rows],
            self.yields[rows],
            self.node[rows],
            self.work[:, rows],
            self.slots[rows],
            {kind: milli[rows] for kind, milli in self.devices.items()},
            self.ends[rows],
        )

    def amount(self, row: int) -> Amount:
        """The room of a row."""
        return Amount(self.slots[row], {kind: milli[row] for kind, milli in self.devices.items()})


class Preemption:
    """Chooses victims during one pass; nobody is chosen twice."""

    def __init__(self, snapshot: Snapshot, now: float) -> None:
        self._snapshot = snapshot
        self._now = now
        self._left: _Candidates | None = None

    def victims(self, request: Request, form: Form, room: Room, timeline: Timeline) -> Victims | None:
        """The victims that lose the least work, no more than needed; None when no node could be cleared enough.

        `timeline` tells what is free now. Only for sessions whose containers lie on one node.
        """
        if form.size > 1 and form.layout is not Layout.ONE_NODE:
            return None
        if self._left is None:
            self._left = _candidates(self._snapshot, self._now)
        known = self._left.some(self._left.yields <= request.priority)
        if not len(known.node):
            return None
        need = _Need(form, room, timeline.free_everywhere(self._now))
        best: tuple[tuple[float, float], int, list[int]] | None = None
        for node in _promising(known, need):
            rows = np.flatnonzero(known.node == node).tolist()
            chosen = _least(rows, known, node, need)
            key = (_work(chosen, known), node, chosen)
            if chosen and (best is None or key < best):
                best = key
        if best is None:
            return None
        numbers = known.session[best[2]]
        rows = np.flatnonzero(np.isin(known.session, numbers)).tolist()
        freed = [Freed(int(known.node[row]), known.amount(row), max(float(known.ends[row]), self._now)) for row in rows]
        self._left = self._left.some(~np.isin(self._left.session, numbers))
        names = tuple(known.owner[row].item() for row in best[2])
        return Victims(names, tuple(numbers.tolist()), tuple(freed))


class _Need:
    """What a session needs of one node, and what there is of all nodes."""

    def __init__(self, form: Form, room: Room, free: tuple[Amounts, dict[str, Amounts]]) -> None:
        self._wanted = room.snapshot.wanted[form.shape]
        self._claim = room.snapshot.shapes[form.shape].claim
        self._size = form.size
        self._slots, devices = free
        self._devices = devices.get(self._claim.kind) if self._claim else None
        self._allowed = room.allowed(self._claim) if self._claim and self._devices is not None else None
        self._able = room.largest(form.shape) >= form.size

    def met(self, node: Amounts, slots: Amounts, devices: Mapping[str, Amounts]) -> Flags:
        """Whether so much more, a row for each of these nodes, would be enough there."""
        own = may = None
        if self._claim is not None and self._devices is not None:
            own = self._devices[node] + devices[self._claim.kind]
            may = None if self._allowed is None else self._allowed[node]
        counts = how_many(self._wanted, self._slots[:, node] + slots.T, self._claim, own, may)
        enough: Flags = (counts >= self._size) & self._able[node]
        return enough


def _candidates(snapshot: Snapshot, now: float) -> _Candidates:
    holdings = snapshot.holdings
    rows = np.flatnonzero(holdings.yields < NOBODY)
    # What a session holds on one node in several containers comes free at once.
    keys, place = np.unique(np.stack([holdings.session[rows], holdings.node[rows]]), axis=1, return_inverse=True)
    count = keys.shape[1]
    place = place.reshape(-1)
    slots = np.zeros((count, holdings.slots.shape[1]), dtype=np.int64)
    np.add.at(slots, place, holdings.slots[rows])
    devices = {}
    for number, (kind, columns) in enumerate(snapshot.devices.items()):
        of_kind = holdings.kind[rows] == number
        devices[kind] = np.zeros((count, columns.index.shape[1]), dtype=np.int64)
        np.add.at(devices[kind], place[of_kind], holdings.milli[rows[of_kind], : columns.index.shape[1]])
    first = np.zeros(count, dtype=np.int64)
    first[place] = rows
    work = _lost(snapshot, rows, now)[:, np.searchsorted(rows, first)]
    owner = np.array([holdings.owner[row] for row in first.tolist()], dtype=np.str_)
    order = np.lexsort((owner, work[1], work[0], holdings.node[first]))
    first = first[order]
    return _Candidates(
        owner[order],
        holdings.session[first],
        holdings.yields[first],
        holdings.node[first],
        work[:, order],
        slots[order],
        {kind: milli[order] for kind, milli in devices.items()},
        holdings.ends[first],
    )


def _lost(snapshot: Snapshot, rows: Amounts, now: float) -> Times:
    """The device-seconds and slot-seconds that the sessions of some holdings have worked, shape (2, len(rows)).

    Slot-seconds count as parts of what the group has of each slot. A session loses what all of its containers did.
    """
    holdings = snapshot.holdings
    total = np.maximum(snapshot.memory.total[: holdings.slots.shape[1]], 1)
    seconds = np.maximum(now - holdings.started[rows], 0)
    devices = holdings.milli[rows].sum(axis=1) / WHOLE * seconds
    slots = (holdings.slots[rows] / total).sum(axis=1) * seconds
    _, session = np.unique(holdings.session[rows], return_inverse=True)
    # Rounded, so that the order in which floats were added up decides nothing.
    lost: Times = np.stack([np.bincount(session, devices)[session], np.bincount(session, slots)[session]])
    return lost.round(9)


def _promising(known: _Candidates, need: _Need) -> list[int]:
    """Nodes on which enough would come free, those first where giving way in order of the work at stake costs least;
    and the one where a single session is the cheapest."""
    begins = np.flatnonzero(np.concatenate([[True], known.node[1:] != known.node[:-1]]))
    start = begins[np.searchsorted(begins, np.arange(len(known.node)), side="right") - 1]

    freed = {kind: sums_from(milli, start) for kind, milli in known.devices.items()}
    enough = np.flatnonzero(need.met(known.node, sums_from(known.slots, start), freed))
    nodes, at = np.unique(known.node[enough], return_index=True)
    lost = sums_from(known.work.T, start)[enough[at]]
    found = [int(node) for node in nodes[np.lexsort((nodes, lost[:, 1], lost[:, 0]))][:_LOOKED_AT]]
    alone = np.flatnonzero(need.met(known.node, known.slots, known.devices))
    if len(alone):
        cheapest = alone[np.lexsort((known.node[alone], known.work[1, alone], known.work[0, alone]))[0]]
        found.append(int(known.node[cheapest]))
    return list(dict.fromkeys(found))


def _least(rows: list[int], known: _Candidates, node: int, need: _Need) -> list[int]:
    """Of the rows of a node, which are ordered by the work at stake, some that are enough, none of which could be
    spared; none when all of them are not enough."""

    at = np.full(len(rows), node)

    def met(slots: Amounts, devices: Mapping[str, Amounts]) -> Flags:
        return need.met(at[: len(slots)], slots, devices)

    slots, devices = known.slots[rows], {kind: milli[rows] for kind, milli in known.devices.items()}
    together = np.flatnonzero(
        met(slots.cumsum(axis=0), {kind: milli.cumsum(axis=0) for kind, milli in devices.items()})
    )
    if not len(together):
        return []
    chosen = list(range(int(together[0]) + 1))
    for place in reversed(chosen):
        rest = [other for other in chosen if other != place]
        left = {kind: milli[rest].sum(axis=0, keepdims=True) for kind, milli in devices.items()}
        if met(slots[rest].sum(axis=0, keepdims=True), left)[0]:
            chosen = rest
    few = [rows[place] for place in chosen]
    alone = np.flatnonzero(met(slots, devices))
    single = [rows[int(alone[0])]] if len(alone) else few
    return single if _work(single, known) <= _work(few, known) else few


def _work(rows: Iterable[int], known: _Candidates) -> tuple[float, float]:
    lost = known.work[:, list(rows)].sum(axis=1)
    return float(lost[0]), float(lost[1])
