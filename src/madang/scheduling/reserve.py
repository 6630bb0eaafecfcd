"""Reservations: concrete room of nodes that others than their members do not see while they hold or come near."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from madang.domain.devices import WHOLE, Claim
from madang.scheduling.capacity import allowed_devices
from madang.scheduling.holds import Amount, Hold
from madang.scheduling.policy import Policy, Reservation
from madang.scheduling.snapshot import Amounts, Snapshot
from madang.scheduling.timeline import Timeline


def kept_now(policy: Policy, now: float) -> list[Reservation]:
    """The reservations whose room is kept at a time, in a fixed order."""
    lead = policy.reservation_lead_seconds
    return sorted(
        (one for one in policy.reservations if one.starts - lead <= now < one.ends),
        key=lambda one: (one.starts, one.name),
    )


def carve(reservations: Iterable[Reservation], timeline: Timeline) -> list[Hold]:
    """The room that each reservation keeps from others.

    Devices that its members hold count as theirs; then come those that are free by its start, then any, on as few
    nodes as there can be: the same ones as long as nothing changes on nodes. What its members hold is not kept a second
    time. Slots are kept where the devices are, in proportion.
    """
    carver = _Carver(timeline)
    return [carver.carve(one) for one in reservations]


class _Carver:
    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._snapshot: Snapshot = timeline.snapshot
        self._places = timeline.snapshot.places
        self._gone = {kind: ~columns.present for kind, columns in self._snapshot.devices.items()}

    def carve(self, one: Reservation) -> Hold:
        member_slots, member_devices = self._held_by_members(one.name)
        free = self._timeline.free_everywhere(one.starts)
        devices: dict[int, Amount] = {}
        wanted = np.array([one.slots.get(slot, 0) for slot in self._snapshot.slots], dtype=np.int64)
        if one.claim_count and one.claim_kind in self._snapshot.devices:
            devices = self._devices(one, free[1][one.claim_kind], member_devices[one.claim_kind])
            for part, node in zip(
                _parts(wanted, [_count(amount) for amount in devices.values()]), devices, strict=True
            ):
                devices[node].slots = np.maximum(part - member_slots[node], 0)
            for node, amount in devices.items():
                held = member_devices[one.claim_kind][node]
                amount.devices[one.claim_kind] = np.maximum(amount.devices[one.claim_kind] - held, 0)
        elif wanted.any():
            devices = self._slots(np.maximum(wanted - member_slots.sum(axis=0), 0), free[0])
        later = {node: self._timeline.free_at(node, one.starts) for node in devices}
        return Hold(one.name, one.starts, devices, later, ends=one.ends, reserved=True)

    def _held_by_members(self, name: str) -> tuple[Amounts, dict[str, Amounts]]:
        """What sessions of the reservation hold: slots (N, K), and devices by kind (N, D)."""
        snapshot = self._snapshot
        slots = np.zeros((len(snapshot.nodes), len(snapshot.slots)), dtype=np.int64)
        devices = {kind: np.zeros_like(columns.used) for kind, columns in snapshot.devices.items()}
        for session in snapshot.running:
            for part in session.parts if session.reservation == name else ():
                node = self._places.node.get(part.node)
                if node is not None:
                    row = np.zeros(len(snapshot.slots), dtype=np.int64)
                    of_kind = devices.get(part.kind, np.zeros((len(slots), self._places.width), dtype=np.int64))
                    self._places.write(part, row, of_kind[node])
                    slots[node] += row
        return slots, devices

    def _devices(self, one: Reservation, free: Amounts, held: Amounts) -> dict[int, Amount]:
        """The devices of the reservation by node, in full."""
        kind = one.claim_kind
        columns, gone = self._snapshot.devices[kind], self._gone[kind]
        allowed = allowed_devices(Claim(kind, one.claim_count, WHOLE, one.claim_models), columns)
        usable = ~gone if allowed is None else ~gone & allowed
        grade = np.where(held > 0, 0, np.where(free >= WHOLE, 1, 2))
        soon = np.minimum((usable & (grade < 2)).sum(axis=1), one.claim_count)
        mine = (usable & (grade == 0)).sum(axis=1)
        rank = np.empty(len(soon), dtype=np.int64)
        rank[np.lexsort((np.arange(len(soon)), -soon, -mine))] = np.arange(len(soon))
        node, place = np.nonzero(usable)
        order = np.lexsort((place, rank[node], grade[node, place]))[: one.claim_count]
        found: dict[int, Amount] = {}
        for at in order.tolist():
            mask = found.setdefault(
                int(node[at]),
                Amount(
                    np.zeros(len(self._snapshot.slots), dtype=np.int64),
                    {kind: np.zeros(usable.shape[1], dtype=np.int64)},
                ),
            )
            mask.devices[kind][place[at]] = WHOLE
            gone[node[at], place[at]] = True
        return dict(sorted(found.items()))

    def _slots(self, wanted: Amounts, free: Amounts) -> dict[int, Amount]:
        """Counted slots alone: as much of each node, by name, as is free of all of them together."""
        found: dict[int, Amount] = {}
        left = wanted.copy()
        for node, amount in enumerate(free.T):
            asked = np.flatnonzero(left)
            if not len(asked):
                break
            part = min(1.0, float((np.maximum(amount[asked], 0) / left[asked]).min()))
            taken = np.zeros_like(left)
            taken[asked] = np.ceil(left[asked] * part).astype(np.int64) if part == 1.0 else left[asked] * part
            if taken.any():
                found[node] = Amount(taken)
                left -= taken
        return found


def _count(amount: Amount) -> int:
    return int(sum((kept > 0).sum() for kept in amount.devices.values()))


def _parts(wanted: Amounts, counts: Sequence[int]) -> list[Amounts]:
    """Amounts in proportion to counts, which come to the whole exactly."""
    parts, before, total = [], 0, sum(counts)
    for count in counts:
        parts.append(wanted * (before + count) // total - wanted * before // total)
        before += count
    return parts
