"""What a scheduling pass looks at: the nodes, the queue and the running sessions of one resource group."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from madang.scheduling.columns import (
    Amounts,
    DeviceColumns,
    Flags,
    HoldingColumns,
    Interned,
    NodeColumns,
    Places,
    RequestColumns,
    Times,
    add_holdings,
    held_by_user,
)
from madang.scheduling.demand import Demand
from madang.scheduling.memory import Memory
from madang.scheduling.rows import Device, Form, Node, Part, Request, Running, Shape

__all__ = [
    "Amounts",
    "Device",
    "DeviceColumns",
    "Flags",
    "Form",
    "Node",
    "Part",
    "Request",
    "Running",
    "Shape",
    "Snapshot",
    "Times",
]

LINEAGES = itertools.count(1)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Columns over N nodes (by name), K counted slots and F features; the order of the input never matters.

    `capacity` and `used` have shape (K, N), in base units; `offers` (F, N). `used`, like that of the devices, includes
    what the running sessions hold. `versions` (N,) tell memories that outlive a pass what changed: a node with the same
    version (other than 0) in two snapshots of the same `lineage` has the same room, and in one lineage nodes, shapes,
    forms, users and projects keep their numbers.
    """

    slots: tuple[str, ...]
    features: tuple[str, ...]
    nodes: tuple[str, ...]
    capacity: Amounts
    used: Amounts
    offers: Flags
    devices: Mapping[str, DeviceColumns]  # by kind, in order of the kinds' names
    shapes: Sequence[Shape]
    wanted: Amounts  # (S, K): counted slots of the shapes
    forms: Sequence[Form]
    users: Sequence[str]
    projects: Sequence[str]
    held: Amounts  # (U, K + Q): what users hold, slots first and then thousandths of devices by kind
    requests: RequestColumns
    holdings: HoldingColumns
    running: tuple[Running, ...]
    giving_way: Mapping[str, int]  # how many running sessions make room for a session
    gave_way: Collection[str]  # the sessions for which some that wait have made room
    demand: Demand  # what is usually asked for, of which the waiting requests may be a small part
    places: Places  # where the names of nodes, slots and kinds stand in the columns
    memory: Memory
    lineage: int
    versions: Amounts

    @classmethod
    def of(cls, nodes: Iterable[Node], requests: Iterable[Request], running: Iterable[Running] = ()) -> Snapshot:
        """Put rows into columns."""
        waiting = tuple(sorted(requests, key=lambda one: (one.arrived, one.id)))
        holding = tuple(sorted(running, key=lambda one: one.id))
        columns = NodeColumns.of(nodes, named_slots(waiting, holding))
        interned = Interned()
        asked = RequestColumns.of(waiting, interned)
        places = Places(columns)
        holdings = HoldingColumns.of(holding, places, interned)
        add_holdings(columns, holdings)
        return cls(
            columns.slots,
            columns.features,
            columns.names,
            columns.capacity,
            columns.used,
            columns.offers,
            columns.devices,
            interned.shapes,
            wanted_of(interned.shapes, columns.slots),
            interned.forms,
            interned.users,
            interned.projects,
            held_by_user(holdings, len(interned.users), len(columns.devices)),
            asked,
            holdings,
            holding,
            Counter(one.making_room_for for one in holding if one.making_room_for),
            frozenset(one.gave_way_to for one in waiting if one.gave_way_to),
            Demand.of(waiting, holding),
            places,
            Memory(columns),
            next(LINEAGES),
            np.zeros(len(columns.names), dtype=np.int64),
        )


def named_slots(requests: Iterable[Request], running: Iterable[Running]) -> set[str]:
    """The counted slots that sessions name, whether nodes have them or not."""
    asked = {slot for one in requests for slot in one.slots}
    return asked | {slot for one in running for part in one.parts for slot in part.slots}


def wanted_of(shapes: Sequence[Shape], slots: Sequence[str]) -> Amounts:
    """The counted slots of shapes, shape (S, K)."""
    wanted = np.array([[shape.slots.get(slot, 0) for slot in slots] for shape in shapes], dtype=np.int64)
    return wanted.reshape(len(shapes), len(slots))
