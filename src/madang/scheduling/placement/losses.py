"""What placing a container on a node loses, kept for each shape and each content that a node has had.

Many nodes are alike, and what has been computed for one holds for all. Since it depends on nothing but the content of
a node, the demand and the shape, it stays true from pass to pass, and for whoever sees only a part of the room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from madang.domain.devices import Claim
from madang.scheduling.columns import Amounts, Flags
from madang.scheduling.placement.worth import CODES, Numbers, Worth, codes_of
from madang.scheduling.room import Room
from madang.scheduling.snapshot import Snapshot

UNKNOWN: Final = -np.inf

_NEARLY: Final = 10.0
"""Thousandths of a device: nodes that differ by less are told apart by how full they are."""

_ROUNDED: Final = 1e4  # so that a loss never depends on the order in which it was added up
_LEAST: Final = 64  # rows and columns tables begin with; they double when they are full
_SHAPES: Final = 256  # so many shapes are remembered: with more, what was asked for first is forgotten

_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Asked:
    """What A rows ask for of one kind of device."""

    change: Numbers  # (A, C): see Worth.change
    milli: Amounts  # (A, 1)
    count: Amounts  # (A, 1); 0: nothing


@dataclass(frozen=True, slots=True)
class Rows:
    """What A rows ask for; the first one asks for nothing."""

    numbers: Amounts  # (A,)
    wanted: Amounts  # (A, 1, K): counted slots
    bare: Numbers  # (A, 1): 1 for who asks for no device
    asked: Sequence[Asked]  # by kind


class Losses:
    """Belongs to one lineage of snapshots, under one demand.

    A content is what is free of a node: counted slots and the codes of its devices, sorted. Contents and shapes get
    numbers here (`content`, `row`). `loss[row, content]` is in parts of a thousandth of a device, UNKNOWN until
    somebody asks.
    """

    def __init__(self, snapshot: Snapshot, before: Losses | None = None) -> None:
        """`before`: those of the same lineage and demand, which have grown too large."""
        self.demand = snapshot.demand
        self._slots = width = len(snapshot.slots)
        self._kinds: dict[str, _Kind] = {}
        known = {name: kind.worth for name, kind in before._kinds.items()} if before else {}
        for name, columns in snapshot.devices.items():
            if columns.index.size:
                worth = known.get(name) or Worth(name, snapshot.demand, columns, snapshot.slots)
                kind = self._kinds[name] = _Kind(name, worth, codes_of(columns.model), width)
                width = kind.columns.stop
        largest = np.maximum(snapshot.capacity.max(axis=1, initial=1), 1)
        self._fullness: Numbers = _NEARLY / largest / max(1, len(largest))
        self._numbers: dict[bytes, int] = {}
        self._rows: dict[int, int] = {}
        self.forgotten = 0  # so often has a row been given to another shape: what `rows` said before is not true of it
        self._wanted: Amounts = np.zeros((_SHAPES + 1, self._slots), dtype=np.int64)  # by row
        self._bare: Numbers = np.zeros(_SHAPES + 1)  # 1 for a row that asks for no device
        self._contents: Amounts = np.zeros((_LEAST, width), dtype=np.int64)
        self._content: Amounts = np.zeros(width, dtype=np.int64)  # the one that is looked at
        self._measured = 0  # so many contents have been looked at closely
        self._now: Numbers = np.zeros(_LEAST)  # the worth of each, less what makes it a good choice otherwise
        self._any: Numbers = np.zeros(_LEAST)  # 1 where any of a device is free
        self.loss: Numbers = np.full((_LEAST, _LEAST), UNKNOWN)
        # The content of every node when it was last looked at, and its version then.
        self._last: Amounts = np.zeros(len(snapshot.nodes), dtype=np.int64)
        self._versions: Amounts = np.zeros(len(snapshot.nodes), dtype=np.int64)

    def __len__(self) -> int:
        """How many contents are known."""
        return len(self._numbers)

    def all_contents(self, room: Room) -> Amounts:
        """The contents of all nodes, (N,), for the caller to change."""
        versions = room.versions
        changed = np.flatnonzero((self._versions != versions) | (versions == 0))
        contents = self._last.copy()
        if len(changed):
            contents[changed] = [self.content(room, node) for node in changed.tolist()]
            lasting = changed[versions[changed] != 0]
            self._last[lasting] = contents[lasting]
            self._versions[lasting] = versions[lasting]
        return contents

    def content(self, room: Room, node: int) -> int:
        """The content of a node."""
        content = self._content
        content[: self._slots] = room.free[:, node]
        for kind in self._kinds.values():
            codes = content[kind.columns]
            kind.codes(room, node, codes)
            codes.sort()
        key = content.tobytes()
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            self._fit(1, number + 1)
            self._contents[number] = content
        return number

    def row(self, snapshot: Snapshot, shape: int) -> int:
        """The row of a shape, until others have taken its place."""
        known = self._rows.get(shape)
        if known is None:
            known = 1 + len(self._rows)
            if known > _SHAPES:
                known = self._rows.pop(next(iter(self._rows)))
                self.forgotten += 1
            self._rows[shape] = known
            self._fit(known + 1, 1)
            self.loss[known] = UNKNOWN
            claim = snapshot.shapes[shape].claim
            self._wanted[known] = snapshot.wanted[shape]
            self._bare[known] = claim is None
            for kind in self._kinds.values():
                kind.write(known, claim if claim is not None and claim.kind == kind.name else None)
        return known

    def place(self, room: Room, row: int, claim: Claim, node: int) -> int:
        """The place of the device of a node on which a claim for a part of one loses least, of equals the fullest."""
        return self._kinds[claim.kind].place(room, row, node)

    def rows(self, rows: Sequence[int]) -> Rows:
        """What some rows ask for, and before them what nobody asks for."""
        some = np.array([0, *rows])
        asked = [kind.asked(some) for kind in self._kinds.values()]
        return Rows(some, self._wanted[some][:, None], self._bare[some][:, None], asked)

    def meet(self, rows: Rows) -> None:
        """Find out the loss of some rows in every content that nobody has looked at yet."""
        if self._measured == len(self._numbers):
            return
        new = np.arange(self._measured, len(self._numbers))
        self._measured = len(self._numbers)
        full = (self._contents[new, : self._slots] * self._fullness).sum(axis=1)
        for kind in self._kinds.values():
            self._any[new] += _NEARLY * kind.measure(new, self._contents)
        # What they are worth as they are comes in one go with what is left of it.
        worth = self._after(rows, new)
        self._now[new] = worth[0] + full
        self._write(rows, new, worth)

    def compute(self, rows: Rows, contents: Amounts) -> None:
        """Find out the loss of every row in every content."""
        self.meet(rows)
        self._write(rows, contents, self._after(rows, contents))

    def _after(self, rows: Rows, contents: Amounts) -> Numbers:
        """What is left of the worth of contents once they gave a row what it asks for, (A, B)."""
        free = self._contents[contents, : self._slots] - rows.wanted
        worth: Numbers = np.zeros(free.shape[:2])
        for kind, asked in zip(self._kinds.values(), rows.asked, strict=True):
            worth += kind.after(asked, contents, free, self._contents)
        return worth

    def _write(self, rows: Rows, contents: Amounts, worth: Numbers) -> None:
        loss = self._now[contents] - worth + self._any[contents] * rows.bare
        self.loss[rows.numbers[:, None], contents] = np.rint(loss * _ROUNDED)

    def _fit(self, rows: int, contents: int) -> None:
        """Make the tables large enough."""
        have = self.loss.shape
        need = (_doubled(have[0], rows), _doubled(have[1], contents))
        if need != have:
            loss = np.full(need, UNKNOWN)
            loss[: have[0], : have[1]] = self.loss
            self.loss = loss
            self._contents = _longer(self._contents, need[1])
            self._now, self._any = _longer(self._now, need[1]), _longer(self._any, need[1])
            for kind in self._kinds.values():
                kind.fit(need[1])


class _Kind:
    """One kind of device, and what the rows ask for of it."""

    def __init__(self, name: str, worth: Worth, base: Amounts, first: int) -> None:
        self.name = name
        self._base = base  # codes of devices of which nothing is free, (N, D)
        self.columns = slice(first, first + base.shape[1])  # of the contents
        self.worth = worth
        levels, self._codes, columns = worth.table.shape
        self._levels = levels
        self._table: Numbers = worth.table.reshape(-1, columns)
        self._by_code: Numbers = worth.table.swapaxes(0, 1).reshape(self._codes, -1)
        self._change: Numbers = np.zeros((_SHAPES + 1, self._codes))
        self._milli: Amounts = np.zeros(_SHAPES + 1, dtype=np.int64)
        self._count: Amounts = np.zeros(_SHAPES + 1, dtype=np.int64)
        # For every content and level the sums over its devices of what the worth says of each.
        self._sums: Numbers = np.zeros((_LEAST, levels * columns))

    def write(self, row: int, claim: Claim | None) -> None:
        """What a row asks for; None: nothing of this kind."""
        self._change[row] = 0.0 if claim is None else self.worth.change(claim)
        self._milli[row] = 0 if claim is None else claim.milli
        self._count[row] = 0 if claim is None else claim.count

    def fit(self, contents: int) -> None:
        """Make the tables large enough for so many contents."""
        self._sums = _longer(self._sums, contents)

    def measure(self, new: Amounts, contents: Amounts) -> Flags:
        """Sum up the devices of new contents; returns which have any of which something is free, (M,)."""
        codes = contents[new, self.columns]
        self._sums[new] = self._by_code.take(codes, axis=0).sum(axis=1)
        free: Flags = np.logical_or.reduce(codes % CODES, axis=1)
        return free

    def codes(self, room: Room, node: int, out: Amounts | None = None) -> Amounts:
        """The codes of the devices of a node, by place."""
        codes: Amounts = np.add(self._base[node], room.device_free[self.name][node], out=out)
        return codes

    def place(self, room: Room, row: int, node: int) -> int:
        """Where a row loses least."""
        codes = self.codes(room, node)
        by_place: list[int] = codes.tolist()
        change: list[float] = self._change[row].take(codes).tolist()
        least = max(change)
        return by_place.index(min([code for code, one in zip(by_place, change, strict=True) if one == least]))

    def asked(self, rows: Amounts) -> Asked:
        """What rows ask for."""
        return Asked(self._change[rows], self._milli[rows][:, None], self._count[rows][:, None])

    def after(self, asked: Asked, contents: Amounts, free: Amounts, table: Amounts) -> Numbers:
        """What is left of the worth of contents once they gave a row what it asks for, (A, B).

        `free` (A, B, K) are the slots that are left.
        """
        codes = table[contents, self.columns]
        place = asked.change.take(codes, axis=1).argmax(axis=2)
        level = self.worth.level(free)
        sums = self._sums.reshape(-1, self._table.shape[1]).take(contents * self._levels + level, axis=0)
        at = level * self._codes + codes[np.arange(len(contents)), place]
        less = self._table.take(at, axis=0) - self._table.take(at - asked.milli, axis=0)
        sums -= less * asked.count[:, :, None]
        return self.worth.of(free, sums)


def _longer(table: npt.NDArray[_Number], rows: int) -> npt.NDArray[_Number]:
    longer = np.zeros((rows, *table.shape[1:]), dtype=table.dtype)
    longer[: len(table)] = table
    return longer


def _doubled(have: int, need: int) -> int:
    while have < need:
        have *= 2
    return have
