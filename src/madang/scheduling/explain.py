"""Why a session waits: what exactly is missing, and where."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import numpy as np

from madang.domain.devices import WHOLE
from madang.domain.session import Layout
from madang.domain.slots import format_amount
from madang.domain.why import Value, Why, WhyCode
from madang.scheduling.capacity import allowed_devices
from madang.scheduling.eligible import when
from madang.scheduling.gang import enough
from madang.scheduling.holds import Rooms
from madang.scheduling.room import Room
from madang.scheduling.shortage import lacks
from madang.scheduling.snapshot import Amounts, Form, Shape

EXACT: Final = 50
"""Up to this place a reason tells the exact place and what is short of it where; further back it would change all the
time, and everybody's reason with it."""

_DEVICE_NAMES: Final[Mapping[str, str]] = {"cuda": "GPU", "rocm": "GPU", "tpu": "TPU"}

_Found = tuple[WhyCode, dict[str, Value]]


class Explainer:
    """Reasons at the end of a pass. What requests of one form have in common is found out once."""

    def __init__(self, rooms: Rooms, group: str) -> None:
        self._rooms = rooms
        self._snapshot = rooms.snapshot
        self._group = group
        self._near: dict[tuple[int, int], _Found] = {}
        self._far: dict[tuple[int, int], _Found] = {}
        self._told: dict[tuple[int, int, int], Why] = {}  # far back, where many places are told as one
        self._impossible: dict[int, Why | None] = {}

    def why(self, form: int, mask: int, place: int, of: int) -> tuple[Why, int, int]:
        """The reason of a request of a form that these holds bind, at a place of the queue (1 is the head); and its
        place and the length of the queue. Far back the place is rounded and the length, which always changes, is 0.
        """
        if place > EXACT:
            about = rounded(place)
            why = self._told.get((form, mask, about))
            if why is None:
                code, values = self._remembered(self._far, form, mask, far=True)
                why = self._told[form, mask, about] = Why(code, {**values, "position": about})
            return why, about, 0
        # The head of the queue is told where more room would start it; all others, where most of the room is.
        known = self._find(self._snapshot.forms[form], mask, far=False, head=True) if place == 1 else None
        code, values = known or self._remembered(self._near, form, mask, far=False)
        return Why(code, {**values, "position": place, "of": of}), place, of

    def impossible(self, number: int) -> Why | None:
        """Why the nodes of the group could not hold a form even if nothing ran on them; None when they could."""
        if number not in self._impossible:
            form = self._snapshot.forms[number]
            room = self._rooms.base
            self._impossible[number] = None if enough(form, room.largest(form.shape)) else self._too_much(form, room)
        return self._impossible[number]

    def _remembered(self, memory: dict[tuple[int, int], _Found], number: int, mask: int, *, far: bool) -> _Found:
        found = memory.get((number, mask))
        if found is None:
            found = memory[number, mask] = self._find(self._snapshot.forms[number], mask, far=far)
        return found

    def _find(self, form: Form, mask: int, *, far: bool, head: bool = False) -> _Found:
        base, seen = self._rooms.base, self._rooms.room(mask)
        group: dict[str, Value] = {"group": self._group}
        if not has_room(form, base):
            if far:
                several: dict[str, Value] = {"size": form.size, "layout": form.layout.value} if form.size > 1 else {}
                return WhyCode.FULL, {**group, **self._asked(form), **several}
            return self._short(form, base, seen if head else base)
        if has_room(form, seen):
            return WhyCode.BEHIND, group
        held = self._rooms.binding(mask)
        unreserved = sum(1 << at for at, one in enumerate(self._rooms.holds) if mask >> at & 1 and not one.reserved)
        if has_room(form, self._rooms.room(unreserved)):
            one = next(one for one in held if one.reserved)
            return WhyCode.RESERVED, {**group, "name": one.owner, "until": when(one.ends)}
        return WhyCode.KEPT, group

    def _short(self, form: Form, base: Room, seen: Room) -> _Found:
        """What the best node lacks: the one that lacks least of the room that is `seen`."""
        number = form.shape
        values: dict[str, Value] = {"group": self._group}
        if form.size > 1:
            return WhyCode.GANG, {**values, **self._gang(form, base.counts(number))}
        claim = self._snapshot.shapes[number].claim
        devices = seen.device_free.get(claim.kind) if claim else None
        able = base.largest(number) > 0
        best = int(np.argmin(lacks(seen, number, 1, seen.free, devices, able=able)))
        have = base.device_free[claim.kind][best] if claim else None
        lacking = self._lacking(number, best, base.free[:, best], have)
        return WhyCode.SHORTAGE, {**values, "node": self._snapshot.nodes[best], **lacking}

    def _too_much(self, form: Form, room: Room) -> Why:
        snapshot = self._snapshot
        shape = snapshot.shapes[form.shape]
        values: dict[str, Value] = {"group": self._group}
        suitable = room.suitable(form.shape)
        if not snapshot.nodes:
            return Why(WhyCode.NO_NODE, values)
        if not suitable.any():
            offered = [
                set() if not row.any() else {name} for name, row in zip(snapshot.features, snapshot.offers, strict=True)
            ]
            known = set().union(*offered)
            missing = sorted(shape.needs - known) or sorted(shape.needs)
            return Why(WhyCode.NO_FEATURE, {**values, "feature": ", ".join(missing)})
        devices: Amounts | None = None
        if shape.claim is not None:
            columns = snapshot.devices.get(shape.claim.kind)
            present = None
            if columns is not None:
                allowed = allowed_devices(shape.claim, columns)
                present = columns.present if allowed is None else columns.present & allowed
            if present is None or columns is None or not present[suitable].any():
                asked = {name: value for name, value in self._asked(form).items() if name in ("device", "models")}
                return Why(WhyCode.NO_DEVICE, {**values, **asked})
            devices = np.where(columns.present, WHOLE, 0)
        largest = room.largest(form.shape)
        if form.size > 1 and largest.any():
            return Why(WhyCode.TOO_LARGE, {**values, **self._gang(form, largest)})
        best = int(np.argmin(lacks(room, form.shape, 1, snapshot.capacity, devices, able=suitable)))
        lacking = self._lacking(
            form.shape, best, snapshot.capacity[:, best], None if devices is None else devices[best]
        )
        return Why(WhyCode.TOO_LARGE, {**values, "node": snapshot.nodes[best], **lacking})

    def _gang(self, form: Form, counts: Amounts) -> dict[str, Value]:
        values = {**self._asked(form), "size": form.size, "layout": form.layout.value}
        match form.layout:
            case Layout.ONE_NODE:
                best = int(np.argmax(counts))
                return {**values, "room": int(counts[best]), "node": self._snapshot.nodes[best]}
            case Layout.SPREAD:
                return {**values, "room": int((counts > 0).sum())}
            case _:
                return {**values, "room": int(np.minimum(counts, form.size).sum())}

    def _asked(self, form: Form) -> dict[str, Value]:
        """All that one container asks for."""
        shape = self._snapshot.shapes[form.shape]
        values = _claimed(shape)
        slots = [f"{format_amount(name, shape.slots[name])} {name}" for name in sorted(shape.slots)]
        return {**values, "slots": ", ".join(slots)} if slots else values

    def _lacking(self, number: int, node: int, free: Amounts, devices: Amounts | None) -> dict[str, Value]:
        """What is asked for and lacking on a node, and what there is of it."""
        shape = self._snapshot.shapes[number]
        values: dict[str, Value] = {}
        claim = shape.claim
        if claim is not None and devices is not None:
            allowed = self._rooms.base.allowed(claim)
            usable = devices if allowed is None else devices[allowed[node]]
            whole, most = int((usable >= WHOLE).sum()), int(usable.max(initial=0))
            if claim.whole and whole < claim.count:
                values = {**_claimed(shape), "devices_free": whole}
            elif not claim.whole and most < claim.milli:
                values = {**_claimed(shape), "fraction_free": f"{most / WHOLE:g}"}
        short = [
            (name, int(amount), int(have))
            for name, amount, have in zip(self._snapshot.slots, self._snapshot.wanted[number], free, strict=True)
            if have < amount
        ]
        if short:
            values["slots"] = ", ".join(f"{format_amount(name, amount)} {name}" for name, amount, _ in short)
            values["slots_free"] = ", ".join(f"{format_amount(name, have)} {name}" for name, _, have in short)
        return values


def has_room(form: Form, room: Room) -> bool:
    """Whether all containers of a session fit now."""
    return bool(room.fitting(form.shape).any()) if form.size == 1 else enough(form, room.counts(form.shape))


def _claimed(shape: Shape) -> dict[str, Value]:
    claim = shape.claim
    if claim is None:
        return {}
    values: dict[str, Value] = {"device": _DEVICE_NAMES.get(claim.kind, claim.kind)}
    if claim.models:
        values["models"] = "|".join(claim.models)
    if claim.whole:
        values["devices"] = claim.count
    else:
        values["fraction"] = f"{claim.milli / WHOLE:g}"
    return values


@lru_cache(maxsize=1 << 16)
def rounded(place: int) -> int:
    """One significant digit, so that what is said stays the same for a while."""
    step: int = 10 ** (len(str(place)) - 1)
    return max(place // step * step, EXACT)
