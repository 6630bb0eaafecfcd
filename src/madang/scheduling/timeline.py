"""When room comes free: what is free now and what known ends will give back, node by node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np

from madang.domain.devices import WHOLE
from madang.domain.session import Layout
from madang.scheduling.capacity import how_many
from madang.scheduling.holds import Amount, Hold
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Amounts, Form, Times

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Begun:
    """A container that this very pass has placed: its end gives its room back as well."""

    shape: int
    node: int
    places: tuple[tuple[int, int], ...]  # of devices, with thousandths
    ends: float


class Timeline:
    """Room over time, as it will be if everybody runs to the latest end that is known, and for ever where none is.

    An end that has passed already may come at any moment: it counts as now. Free room only grows over time.
    """

    def __init__(self, room: Room, begun: Sequence[Begun], now: float) -> None:
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
        self._sort(begun)

    def _sort(self, begun: Sequence[Begun]) -> None:
        """Ends by node and time, with what the ends of a node up to each of them give back in all."""
        holdings, snapshot = self.snapshot.holdings, self.snapshot
        known = np.flatnonzero(np.isfinite(holdings.ends))
        node, ends = holdings.node[known], np.maximum(holdings.ends[known], self._now)
        slots, kind, milli = holdings.slots[known], holdings.kind[known], holdings.milli[known]
        late = [one for one in begun if one.ends < NEVER]
        if late:
            kinds = list(snapshot.devices)
            shapes = [one.shape for one in late]
            claims = [snapshot.shapes[shape].claim for shape in shapes]
            given = np.zeros((len(late), milli.shape[1]), dtype=np.int64)
            for row, one in enumerate(late):
                for place, amount in one.places:
                    given[row, place] = amount
            node = np.concatenate([node, np.array([one.node for one in late], dtype=np.int64)])
            ends = np.concatenate([ends, np.array([max(one.ends, self._now) for one in late])])
            slots = np.concatenate([slots, snapshot.wanted[shapes]])
            kind = np.concatenate([kind, np.array([kinds.index(one.kind) if one else -1 for one in claims])])
            milli = np.concatenate([milli, given])
        order = np.lexsort((ends, node))
        self._node: Amounts = node[order]
        self._ends: Times = ends[order]
        # Where the ends of every node begin.
        self._first: Amounts = np.searchsorted(self._node, np.arange(len(snapshot.nodes) + 1))
        self._back: Amounts = self._up_to(slots[order])
        self._back_devices: dict[str, Amounts] = {}
        for number, name in enumerate(snapshot.devices):
            width = self._devices[name].shape[1]
            of_kind = np.where((kind == number)[:, None], milli, 0)[order, :width]
            self._back_devices[name] = self._up_to(of_kind)

    def _up_to(self, given: Amounts) -> Amounts:
        total = np.zeros((len(given) + 1, given.shape[1]), dtype=np.int64)
        np.cumsum(given, axis=0, out=total[1:])
        return total[1:] - total[self._first[self._node]]

    def behind(self, holds: Iterable[Hold]) -> Timeline:
        """What is left when all of this room is kept, from now on and for ever."""
        left = copy(self)
        left._slots = self._slots.copy()
        left._devices = {kind: free.copy() for kind, free in self._devices.items()}
        for hold in holds:
            for node, amount in hold.need.items():
                left.occupy(node, amount)
        return left

    def occupy(self, node: int, amount: Amount) -> None:
        """Somebody takes room of a node, from now on as far as others are concerned."""
        self._slots[:, node] -= amount.slots
        for kind, places in amount.devices.items():
            self._devices[kind][node] -= places

    def give_back(self, node: int, amount: Amount, when: float) -> None:
        """Room of a node comes free at a time."""
        first, end = int(self._first[node]), int(self._first[node + 1])
        at = first + int(np.searchsorted(self._ends[first:end], when, side="right"))
        self._node = np.insert(self._node, at, node)
        self._ends = np.insert(self._ends, at, when)
        self._first = self._first.copy()
        self._first[node + 1 :] += 1
        self._back = _one_more(self._back, at, first, end, amount.slots)
        self._back_devices = {
            kind: _one_more(back, at, first, end, amount.devices.get(kind, np.zeros(back.shape[1], dtype=np.int64)))
            for kind, back in self._back_devices.items()
        }

    def free_at(self, node: int, when: float) -> Amount:
        """What is free of a node at a time, less than nothing where more is taken than there is."""
        first, end = self._first[node], self._first[node + 1]
        last = first + int(np.searchsorted(self._ends[first:end], when, side="right")) - 1
        slots = self._slots[:, node].copy()
        devices = {kind: free[node].copy() for kind, free in self._devices.items()}
        if last >= first:
            slots += self._back[last]
            for kind, back in self._back_devices.items():
                devices[kind] += back[last]
        return Amount(slots, devices)

    def free_everywhere(self, when: float) -> tuple[Amounts, dict[str, Amounts]]:
        """What is free of all nodes at a time: slots (K, N) and devices by kind (N, D)."""
        slots = self._slots.copy()
        devices = {kind: free.copy() for kind, free in self._devices.items()}
        due = np.bincount(self._node[self._ends <= when], minlength=slots.shape[1])
        some = np.flatnonzero(due)
        last = self._first[some] + due[some] - 1
        slots[:, some] += self._back[last].T
        for kind, back in self._back_devices.items():
            devices[kind][some] += back[last]
        return slots, devices

    def earliest(self, form: Form) -> tuple[float, list[tuple[int, int]]]:
        """When a session can start, and on which nodes how many of its containers; NEVER and nothing if no end helps.

        Of several nodes at that time, those that come first by name.
        """
        now, later = self._counts_now(form.shape), self._counts_later(form.shape)
        if form.layout is Layout.ANY and form.size > 1:
            when = self._time_of_sum(form.size, now, later)
            return (when, self._fill(form.size, when, now, later)) if when < NEVER else (NEVER, [])
        each = form.size if form.layout is Layout.ONE_NODE else 1
        nodes = form.size if form.layout is Layout.SPREAD else 1
        times = self._times(each, now, later)
        if nodes > len(times):
            return NEVER, []
        when = float(np.partition(times, nodes - 1)[nodes - 1])
        if when == NEVER:
            return NEVER, []
        return when, [(int(node), each) for node in np.flatnonzero(times <= when)[:nodes]]

    def _counts_now(self, shape: int) -> Amounts:
        claim = self.snapshot.shapes[shape].claim
        devices = allowed = None
        if claim is not None and claim.kind in self._devices:
            devices, allowed = self._devices[claim.kind], self._room.allowed(claim)
        counts = how_many(self.snapshot.wanted[shape], self._slots, claim, devices, allowed)
        counts[~self._room.suitable(shape)] = 0
        return counts

    def _counts_later(self, shape: int) -> Amounts:
        """The containers that fit on the node of every end right after it, shape (E,)."""
        claim = self.snapshot.shapes[shape].claim
        free = self._slots[:, self._node] + self._back.T
        devices = allowed = None
        if claim is not None and claim.kind in self._devices:
            devices = self._devices[claim.kind][self._node] + self._back_devices[claim.kind]
            all_allowed = self._room.allowed(claim)
            allowed = None if all_allowed is None else all_allowed[self._node]
        counts = how_many(self.snapshot.wanted[shape], free, claim, devices, allowed)
        counts[~self._room.suitable(shape)[self._node]] = 0
        return counts

    def _times(self, each: int, now: Amounts, later: Amounts) -> Times:
        """The earliest time at which every node holds so many containers, shape (N,)."""
        times = np.full(len(now), NEVER)
        enough = np.flatnonzero(later >= each)
        nodes, first = np.unique(self._node[enough], return_index=True)
        times[nodes] = self._ends[enough[first]]
        times[now >= each] = self._now
        return times

    def _time_of_sum(self, size: int, now: Amounts, later: Amounts) -> float:
        capped, after = np.minimum(now, size), np.minimum(later, size)
        total = int(capped.sum())
        if total >= size:
            return self._now
        before = np.concatenate([[0], after[:-1]]) if len(after) else after
        begins = self._first[:-1][self._first[:-1] < self._first[1:]]
        before[begins] = capped[self._node[begins]]
        order = np.argsort(self._ends, kind="stable")
        reached = np.flatnonzero(total + np.cumsum((after - before)[order]) >= size)
        return float(self._ends[order[reached[0]]]) if len(reached) else NEVER

    def _fill(self, size: int, when: float, now: Amounts, later: Amounts) -> list[tuple[int, int]]:
        counts = np.minimum(now, size)
        due = np.flatnonzero(self._ends <= when)
        # The ends of a node follow each other in time, so the last one that is written stays.
        counts[self._node[due]] = np.minimum(later[due], size)
        chosen: list[tuple[int, int]] = []
        left = size
        for node in np.lexsort((np.arange(len(counts)), -counts)).tolist():
            if not left:
                break
            chosen.append((node, min(left, int(counts[node]))))
            left -= chosen[-1][1]
        return chosen


def _one_more(back: Amounts, at: int, first: int, end: int, amount: Amounts) -> Amounts:
    """What comes back in all at the ends of a node, which are those from `first` to `end`, with one more at `at`."""
    before = back[at - 1] if at > first else np.zeros_like(amount)
    more: Amounts = np.insert(back, at, before, axis=0)
    more[at : end + 1] += amount
    return more
