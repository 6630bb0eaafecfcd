"""When room comes free: what is free now and what known ends will give back, node by node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np

from madang.domain.devices import WHOLE, Claim, Share
from madang.domain.session import Layout
from madang.scheduling.capacity import how_many
from madang.scheduling.columns import HoldingColumns
from madang.scheduling.ends import NEVER, Ends
from madang.scheduling.holds import Amount, Hold, places_of
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Amounts, Flags, Form, Snapshot, Times


@dataclass(slots=True)
class Begun:
    """A container that this very pass has placed: its end gives its room back as well."""

    shape: int
    node: int
    shares: tuple[Share, ...]
    ends: float


def _ends(snapshot: Snapshot, holdings: HoldingColumns, begun: Sequence[Begun]) -> Ends:
    """The ends of what runs and of what has been placed since."""
    nodes, memory = len(snapshot.nodes), snapshot.memory
    ending = [one for one in begun if one.ends < NEVER]
    if ending:
        return Ends.of(holdings.plus(_holdings(snapshot, ending)), snapshot.devices, nodes)
    if memory.ends is None or memory.ends[0] is not holdings:
        memory.ends = holdings, Ends.of(holdings, snapshot.devices, nodes)
    return memory.ends[1]


def _holdings(snapshot: Snapshot, begun: Sequence[Begun]) -> HoldingColumns:
    kinds = {name: number for number, name in enumerate(snapshot.devices)}
    claims = [snapshot.shapes[one.shape].claim for one in begun]
    milli = np.zeros((len(begun), snapshot.holdings.milli.shape[1]), dtype=np.int64)
    for row, one in enumerate(begun):
        for place, amount in places_of(snapshot, one.shape, one.node, one.shares)[1]:
            milli[row, place] = amount
    nobody = np.zeros(len(begun), dtype=np.int64)
    return HoldingColumns(
        [""] * len(begun),
        nobody,
        nobody,
        np.array([one.node for one in begun], dtype=np.int64),
        nobody,
        np.zeros(len(begun)),
        np.array([one.ends for one in begun]),
        snapshot.wanted[[one.shape for one in begun]],
        np.array([kinds[claim.kind] if claim else -1 for claim in claims], dtype=np.int64),
        milli,
    )


class _Line:
    """One node over time: what is free now, and in order of time what has come back in all after each end."""

    def __init__(self, now: Amount, times: Times, slots: Amounts, devices: dict[str, Amounts]) -> None:
        self.now = now
        self.times = times
        self.slots = slots
        self.devices = devices

    def copy(self) -> _Line:
        return _Line(Amount(self.now.slots, dict(self.now.devices)), self.times, self.slots, self.devices)

    def occupy(self, amount: Amount) -> None:
        self.now.slots = self.now.slots - amount.slots
        for kind, milli in amount.devices.items():
            self.now.devices[kind] = self.now.devices[kind] - milli

    def give_back(self, amount: Amount, when: float) -> None:
        at = int(np.searchsorted(self.times, when, side="right"))
        self.times = np.insert(self.times, at, when)
        self.slots = _one_more(self.slots, at, amount.slots)
        self.devices = {
            kind: _one_more(back, at, amount.devices[kind])
            if kind in amount.devices
            else np.insert(back, at, back[at - 1] if at else 0, axis=0)
            for kind, back in self.devices.items()
        }

    def at(self, when: float) -> Amount:
        last = int(np.searchsorted(self.times, when, side="right")) - 1
        if last < 0:
            return Amount(self.now.slots.copy(), {kind: free.copy() for kind, free in self.now.devices.items()})
        return Amount(
            self.now.slots + self.slots[last],
            {kind: free + self.devices[kind][last] for kind, free in self.now.devices.items()},
        )

    def counts(self, wanted: Amounts, claim: Claim | None, allowed: Flags | None) -> Amounts:
        """How many containers fit now, and then after each end."""
        free = np.vstack([self.now.slots, self.now.slots + self.slots]).T
        devices = None
        if claim is not None and claim.kind in self.now.devices:
            own = self.now.devices[claim.kind]
            devices = np.vstack([own, own + self.devices[claim.kind]])
        may = None if allowed is None else np.broadcast_to(allowed, (len(self.times) + 1, len(allowed)))
        return how_many(wanted, free, claim, devices, may)


def _one_more(back: Amounts, at: int, amount: Amounts) -> Amounts:
    more: Amounts = np.insert(back, at, back[at - 1] if at else 0, axis=0)
    more[at:] += amount
    return more


class Timeline:
    """Room over time, as it will be if everybody runs to the latest end that is known, and for ever where none is.

    An end that has passed already may come at any moment: it counts as now. Free room only grows over time.
    """

    def __init__(
        self, room: Room, now: float, begun: Sequence[Begun] = (), holdings: HoldingColumns | None = None
    ) -> None:
        """`begun`: what has taken room since the snapshot. `holdings`: None means those of the snapshot."""
        self.snapshot = room.snapshot
        self._room = room
        self._now = now
        snapshot = room.snapshot
        # What is held beyond a node's capacity has to be given back before anything is free, so no clipping here.
        over = np.minimum(snapshot.capacity - snapshot.used, 0)
        self._slots: Amounts = room.free + over
        self._devices: dict[str, Amounts] = {
            kind: room.device_free[kind] + np.minimum(WHOLE - columns.used, 0)
            for kind, columns in snapshot.devices.items()
        }
        self._ends = _ends(snapshot, holdings or snapshot.holdings, begun)
        self._lines: dict[int, _Line] = {}  # of nodes of which something else is known by now
        self._times: dict[tuple[int, int], Times] = {}  # found out once for a shape and a count, without these
        self._counts: dict[int, tuple[Amounts, Amounts]] = {}
        self._whole: dict[tuple[str, tuple[str, ...]], Amounts] = {}

    def behind(self, holds: Iterable[Hold]) -> Timeline:
        """What is left when all of this room is kept, from now on and for ever."""
        left = copy(self)
        left._lines = {node: line.copy() for node, line in self._lines.items()}
        for hold in holds:
            for node, amount in hold.need.items():
                left.occupy(node, amount)
        return left

    def begin(self, one: Begun) -> None:
        """A container starts now."""
        amount = Amount(self.snapshot.wanted[one.shape])
        kind, places = places_of(self.snapshot, one.shape, one.node, one.shares)
        if places:
            amount.devices[kind] = np.zeros(self._devices[kind].shape[1], dtype=np.int64)
            for place, milli in places:
                amount.devices[kind][place] = milli
        self.occupy(one.node, amount)
        if one.ends < NEVER:
            self.give_back(one.node, amount, max(one.ends, self._now))

    def occupy(self, node: int, amount: Amount) -> None:
        """Somebody takes room of a node, from now on as far as others are concerned."""
        self._line(node).occupy(amount)

    def give_back(self, node: int, amount: Amount, when: float) -> None:
        """Room of a node comes free at a time."""
        self._line(node).give_back(amount, when)

    def free_at(self, node: int, when: float) -> Amount:
        """What is free of a node at a time, less than nothing where more is taken than there is."""
        return (self._lines.get(node) or self._own(node)).at(when)

    def free_everywhere(self, when: float) -> tuple[Amounts, dict[str, Amounts]]:
        """What is free of all nodes at a time: slots (K, N) and devices by kind (N, D)."""
        ends = self._ends
        slots = self._slots.copy()
        devices = {kind: free.copy() for kind, free in self._devices.items()}
        due = np.bincount(ends.node[np.maximum(ends.time, self._now) <= when], minlength=slots.shape[1])
        some = np.flatnonzero(due)
        last = ends.first[some] + due[some] - 1
        slots[:, some] += ends.slots[last].T
        for kind, back in ends.devices.items():
            devices[kind][some] += back[last]
        for node, line in self._lines.items():
            then = line.at(when)
            slots[:, node] = then.slots
            for kind, free in then.devices.items():
                devices[kind][node] = free
        return slots, devices

    def earliest(self, form: Form) -> tuple[float, list[tuple[int, int]]]:
        """When a session can start, and on which nodes how many of its containers; NEVER and nothing if no end helps.

        Of several nodes at that time, those that come first by name.
        """
        if form.layout is Layout.ANY and form.size > 1:
            return self._earliest_together(form.shape, form.size)
        each = form.size if form.layout is Layout.ONE_NODE else 1
        nodes = form.size if form.layout is Layout.SPREAD else 1
        times = self._times_of(form.shape, each)
        if nodes > len(times):
            return NEVER, []
        when = float(np.partition(times, nodes - 1)[nodes - 1])
        if when == NEVER:
            return NEVER, []
        return when, [(int(node), each) for node in np.flatnonzero(times <= when)[:nodes]]

    def _own(self, node: int) -> _Line:
        """What is known of a node from its sessions."""
        ends = self._ends
        rows = slice(int(ends.first[node]), int(ends.first[node + 1]))
        now = Amount(self._slots[:, node].copy(), {kind: free[node].copy() for kind, free in self._devices.items()})
        times = np.maximum(ends.time[rows], self._now)
        return _Line(now, times, ends.slots[rows], {kind: back[rows] for kind, back in ends.devices.items()})

    def _line(self, node: int) -> _Line:
        line = self._lines.get(node)
        if line is None:
            line = self._lines[node] = self._own(node)
        return line

    def _line_counts(self, shape: int) -> Iterable[tuple[int, _Line, Amounts]]:
        """Of every node of which something else is known: what fits now and then after each end."""
        asked = self.snapshot.shapes[shape]
        allowed = self._allowed(asked.claim)
        for node, line in self._lines.items():
            if self._room.suitable(shape)[node]:
                may = None if allowed is None else allowed[node]
                yield node, line, line.counts(self.snapshot.wanted[shape], asked.claim, may)
            else:
                yield node, line, np.zeros(len(line.times) + 1, dtype=np.int64)

    def _times_of(self, shape: int, each: int) -> Times:
        """The earliest time at which every node holds so many containers, shape (N,)."""
        known = self._times.get((shape, each))
        if known is None:
            known = self._times[shape, each] = self._first_times(shape, each)
        if not self._lines:
            return known
        times = known.copy()
        for node, line, counts in self._line_counts(shape):
            enough = np.flatnonzero(counts >= each)
            times[node] = NEVER if not len(enough) else line.times[enough[0] - 1] if enough[0] else self._now
        return times

    def _first_times(self, shape: int, each: int) -> Times:
        ends = self._ends
        now, later = (self._one_fits(shape)) if each == 1 else [counts >= each for counts in self._counts_of(shape)]
        times = np.full(len(now), NEVER)
        enough = np.flatnonzero(later)
        nodes, first = np.unique(ends.node[enough], return_index=True)
        times[nodes] = np.maximum(ends.time[enough[first]], self._now)
        times[now] = self._now
        return times

    def _one_fits(self, shape: int) -> tuple[Flags, Flags]:
        """Where one container fits now, shape (N,), and right after each end on its node, shape (E,)."""
        ends, wanted, claim = self._ends, self.snapshot.wanted[shape], self.snapshot.shapes[shape].claim
        suitable = self._room.suitable(shape)
        now, later = suitable.copy(), suitable[ends.node]
        for slot in np.flatnonzero(wanted):
            now &= self._slots[slot] >= wanted[slot]
            later &= self._slots[slot][ends.node] + ends.slots[:, slot] >= wanted[slot]
        if claim is not None:
            if claim.kind not in self._devices:
                return now & False, later & False
            least = claim.count if claim.whole else 1
            both = self._devices_with(claim) >= least
            now &= both[: len(now)]
            later &= both[len(now) :]
        return now, later

    def _devices_with(self, claim: Claim) -> Amounts:
        """How many devices have so much left as the claim asks of each: on every node now, then after every end."""
        key = (f"{claim.kind} {claim.milli}", claim.models)
        known = self._whole.get(key)
        if known is None:
            free = self._devices[claim.kind]
            every = np.concatenate([free, free[self._ends.node] + self._ends.devices[claim.kind]])
            enough = every >= claim.milli
            allowed = self._allowed(claim)
            if allowed is not None:
                enough &= np.concatenate([allowed, allowed[self._ends.node]])
            known = self._whole[key] = enough.sum(axis=1)
        return known

    def _counts_of(self, shape: int) -> tuple[Amounts, Amounts]:
        """The containers that fit on every node now, shape (N,), and right after each end on its node, shape (E,)."""
        known = self._counts.get(shape)
        if known is None:
            ends, wanted, claim = self._ends, self.snapshot.wanted[shape], self.snapshot.shapes[shape].claim
            free = np.concatenate([self._slots, self._slots[:, ends.node] + ends.slots.T], axis=1)
            devices = may = None
            if claim is not None and claim.kind in self._devices:
                own, allowed = self._devices[claim.kind], self._allowed(claim)
                devices = np.concatenate([own, own[ends.node] + ends.devices[claim.kind]])
                may = None if allowed is None else np.concatenate([allowed, allowed[ends.node]])
            counts = how_many(wanted, free, claim, devices, may)
            suitable = self._room.suitable(shape)
            counts[~np.concatenate([suitable, suitable[ends.node]])] = 0
            known = self._counts[shape] = counts[: len(suitable)], counts[len(suitable) :]
        return known

    def _allowed(self, claim: Claim | None) -> Flags | None:
        return self._room.allowed(claim) if claim is not None and claim.kind in self._devices else None

    def _earliest_together(self, shape: int, size: int) -> tuple[float, list[tuple[int, int]]]:
        """The same for containers that may lie anywhere, on as few nodes as can be."""
        ends = self._ends
        now, later = (np.minimum(counts, size) for counts in self._counts_of(shape))
        node, time = ends.node, np.maximum(ends.time, self._now)
        if self._lines:
            own = np.isin(node, np.fromiter(self._lines, dtype=np.int64))
            node, time, later = node[~own], time[~own], later[~own]
            lines = [(at, line.times, np.minimum(counts, size)) for at, line, counts in self._line_counts(shape)]
            for at, _, counts in lines:
                now[at] = counts[0]
            node = np.concatenate([node, *(np.full(len(times), at) for at, times, _ in lines)])
            time = np.concatenate([time, *(times for _, times, _ in lines)])
            later = np.concatenate([later, *(counts[1:] for _, _, counts in lines)])
        # What each end adds is what fits after it beyond what fitted on its node before.
        order = np.lexsort((np.arange(len(node)), node))
        node, time, later = node[order], time[order], later[order]
        before = np.concatenate([[0], later[:-1]]) if len(later) else later
        begins = np.flatnonzero(np.concatenate([[True], node[1:] != node[:-1]])) if len(node) else node
        before[begins] = now[node[begins]]
        in_time = np.argsort(time, kind="stable")
        reached = np.flatnonzero(int(now.sum()) + np.cumsum((later - before)[in_time]) >= size)
        if int(now.sum()) >= size:
            when = self._now
        elif len(reached):
            when = float(time[in_time[reached[0]]])
        else:
            return NEVER, []
        counts = now
        due = np.flatnonzero(time <= when)
        # The ends of a node follow each other in time, so the last one that is written stays.
        counts[node[due]] = later[due]
        return when, _filled(counts, size)


def _filled(counts: Amounts, size: int) -> list[tuple[int, int]]:
    chosen: list[tuple[int, int]] = []
    for node in np.lexsort((np.arange(len(counts)), -counts)).tolist():
        if not size:
            break
        chosen.append((node, min(size, int(counts[node]))))
        size -= chosen[-1][1]
    return chosen
