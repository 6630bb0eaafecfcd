"""Room kept for somebody, and the rooms that those see who have to leave it alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from madang.domain.devices import Share
from madang.scheduling.placement.base import Chooser, PlacementPolicy
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Amounts, Snapshot


@dataclass(slots=True)
class Amount:
    """Room of one node: counted slots, shape (K,), and thousandths of devices by kind, shape (D,)."""

    slots: Amounts
    devices: dict[str, Amounts] = field(default_factory=dict)

    def add(self, more: Amount) -> None:
        """Make it larger."""
        self.slots = self.slots + more.slots
        for kind, milli in more.devices.items():
            self.devices[kind] = self.devices[kind] + milli if kind in self.devices else milli.copy()


@dataclass(slots=True)
class Hold:
    """Room kept for a session, or for a reservation, from `starts` on.

    `need` is what is kept of nodes, `later` what will be free of them at `starts`: whoever is bound may take what is
    free now, as long as `need` is left of `later`. Who has certainly ended by `starts` is not bound; -inf: all are.
    """

    owner: str
    starts: float
    need: dict[int, Amount]
    later: dict[int, Amount]
    nodes: Sequence[tuple[int, int]] = ()  # and how many containers of a session that waits are to start there
    ends: float = np.inf  # of a reservation
    reserved: bool = False  # for a reservation, not for a session that waits

    def taken(self, node: int, slots: Amounts, kind: str, places: Sequence[tuple[int, int]], *, inside: bool) -> None:
        """Somebody who will not have ended by `starts` takes room of a node, `inside`: of what is kept for him."""
        later = self.later.get(node)
        if later is None:
            return
        later.slots -= slots
        need = self.need[node]
        if inside:
            np.maximum(need.slots - slots, 0, out=need.slots)
        for place, milli in places:
            later.devices[kind][place] -= milli
            if inside and kind in need.devices:
                need.devices[kind][place] = max(int(need.devices[kind][place]) - milli, 0)


class _Kept(Room):
    """The room of a pass without what is kept for others."""

    def __init__(self, base: Room, holds: Iterable[Hold]) -> None:
        super().__init__(base.snapshot)
        self._base = base
        self._holds = tuple(holds)
        self.free = base.free.copy()
        self.device_free = {kind: free.copy() for kind, free in base.device_free.items()}
        self.versions = base.versions.copy()
        self._fresh = False
        for node in sorted({node for hold in self._holds for node in hold.need}):
            self.look(node)

    def look(self, node: int) -> None:
        """The room of a node has changed, or what is kept of it."""
        self.free[:, node] = self._base.free[:, node]
        for kind, free in self.device_free.items():
            free[node] = self._base.device_free[kind][node]
        holds = [hold for hold in self._holds if node in hold.need]
        for hold in holds:
            most = hold.later[node].slots - sum(one.need[node].slots for one in holds)
            np.minimum(self.free[:, node], np.maximum(most, 0), out=self.free[:, node])
            for kind, free in self.device_free.items():
                kept = [one.need[node].devices[kind] for one in holds if kind in one.need[node].devices]
                row = free[node]
                np.minimum(row, np.maximum(hold.later[node].devices[kind] - sum(kept), 0), out=row)
        self.changed(node)


class Rooms:
    """The room of a pass as everybody sees it: a mask has a bit for every hold that binds who looks."""

    def __init__(self, snapshot: Snapshot, placement: PlacementPolicy) -> None:
        self.snapshot = snapshot
        self.base = Room(snapshot)
        self.holds: list[Hold] = []
        self._binding: dict[int, Hold] = {}  # without those that bind nobody any more, by number
        self._placement = placement
        self._kept: dict[int, _Kept] = {}
        self._choosers: dict[int, Chooser] = {}

    def keep(self, hold: Hold) -> int:
        """Keep room from now on; returns the number of the hold, which is its bit in masks."""
        self.holds.append(hold)
        self._binding[len(self.holds) - 1] = hold
        return len(self.holds) - 1

    def replace(self, at: int, hold: Hold) -> None:
        """Keep other room instead."""
        self.holds[at] = self._binding[at] = hold
        self._forget(at)

    def release(self, at: int) -> None:
        """The room is no longer kept: no mask has this bit from now on."""
        del self._binding[at]
        self._forget(at)

    def binding(self, mask: int) -> list[Hold]:
        """The holds that a mask stands for."""
        return [hold for at, hold in enumerate(self.holds) if mask >> at & 1]

    def room(self, mask: int) -> Room:
        """The room that is left for those whom these holds bind."""
        if not mask:
            return self.base
        known = self._kept.get(mask)
        if known is None:
            known = self._kept[mask] = _Kept(self.base, self.binding(mask))
        return known

    def chooser(self, mask: int) -> Chooser:
        """Who chooses among that room."""
        known = self._choosers.get(mask)
        if known is None:
            known = self._choosers[mask] = self._placement.begin(self.room(mask))
        return known

    def take(self, shape: int, node: int, shares: tuple[Share, ...], ends: float, reservation: str) -> None:
        """Give a container its room until `ends` (inf: nobody knows); it may use the room of a reservation."""
        self.base.take(shape, node, shares)
        if self._binding:
            kind, places = places_of(self.snapshot, shape, node, shares)
            wanted = self.snapshot.wanted[shape]
            for hold in self._binding.values():
                if ends > hold.starts:
                    inside = hold.reserved and hold.owner == reservation
                    hold.taken(node, wanted, kind, places, inside=inside)
            for room in self._kept.values():
                room.look(node)
        for chooser in self._choosers.values():
            chooser.taken(node)

    def _forget(self, at: int) -> None:
        for mask in [mask for mask in self._kept if mask >> at & 1]:
            del self._kept[mask]
            self._choosers.pop(mask, None)


def places_of(
    snapshot: Snapshot, shape: int, node: int, shares: tuple[Share, ...]
) -> tuple[str, Sequence[tuple[int, int]]]:
    """The kind of the devices, and for each share its place on the node and its thousandths."""
    claim = snapshot.shapes[shape].claim
    if claim is None:
        return "", ()
    index = snapshot.devices[claim.kind].index[node].tolist()
    return claim.kind, [(index.index(share.index), share.milli) for share in shares]
