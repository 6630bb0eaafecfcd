"""What a scheduling pass looks at: the nodes, queue and running sessions of one resource group, as rows and columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from madang.domain.devices import WHOLE, Claim, Share
from madang.domain.session import Layout, SessionKind
from madang.domain.why import Why

Amounts = npt.NDArray[np.int64]
Times = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Device:
    """A device of a node. `used`: thousandths held by others than the running sessions that the snapshot lists.

    `links`: indices of the devices it has a fast link to (NVLink); `numa` is -1 where nobody knows.
    """

    index: int
    model: str = ""
    used: int = 0
    numa: int = -1
    links: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Node:
    """A node that takes sessions. `offers` are features such as `network outbound` or `environment python`.

    `capacity` holds counted slots only. `used`: what others hold of them than the running sessions that the snapshot
    lists; those take their room by themselves.
    """

    name: str
    capacity: Mapping[str, int]
    used: Mapping[str, int] = field(default_factory=dict)
    offers: frozenset[str] = frozenset()
    devices: Mapping[str, tuple[Device, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """A waiting session. Times are in seconds of any one clock; `slots` are the counted slots of one container."""

    id: str
    slots: Mapping[str, int]
    arrived: float
    needs: frozenset[str] = frozenset()
    claim: Claim | None = None
    size: int = 1  # containers, all alike
    layout: Layout = Layout.ANY
    user: str = ""
    project: str = ""
    kind: SessionKind = SessionKind.BATCH
    priority: int = 0
    start_at: float | None = None
    max_seconds: float | None = None  # it runs no longer than this
    deadline: float | None = None
    blocked_by: Why | None = None  # what has to happen first
    reservation: str = ""  # a reservation whose room it may use


@dataclass(frozen=True, slots=True)
class Part:
    """The room of one container on its node."""

    node: str
    slots: Mapping[str, int]
    kind: str = ""  # of devices
    shares: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class Running:
    """A session that holds room. `ends`: the latest end that is known; None when it may run for ever."""

    id: str
    parts: tuple[Part, ...]
    user: str = ""
    project: str = ""
    kind: SessionKind = SessionKind.BATCH
    priority: int = 0
    started: float = 0.0
    ends: float | None = None
    preemptible: bool = False
    making_room_for: str = ""  # the session for which it has been told to give way
    reservation: str = ""  # the reservation whose room it was allowed to use


@dataclass(frozen=True, slots=True)
class Shape:
    """What one container asks for; requests of the same shape fit on the same nodes."""

    slots: Mapping[str, int]
    needs: frozenset[str]
    claim: Claim | None


@dataclass(frozen=True, slots=True)
class Form:
    """What a whole session asks for: so many containers of a shape (an index), laid out so."""

    shape: int
    size: int
    layout: Layout


@dataclass(frozen=True, slots=True, eq=False)
class DeviceColumns:
    """The devices of one kind, D places a node; all have shape (N, D). A place without a device has index -1.

    `linked` has shape (N, D, D): whether the devices at two places of a node have a fast link.
    """

    models: tuple[str, ...]
    index: Amounts
    model: Amounts  # an index into models; -1 where there is no device
    numa: Amounts
    linked: Flags
    used: Amounts  # thousandths

    @property
    def present(self) -> Flags:
        """Where there is a device, shape (N, D)."""
        return self.index >= 0


@dataclass(frozen=True, slots=True, eq=False)
class RequestColumns:
    """P waiting requests by time of arrival, then by id; every column has shape (P,)."""

    rows: tuple[Request, ...]
    form: Amounts  # an index into the forms of the snapshot
    arrived: Times
    priority: Amounts
    start_at: Times  # -inf: at any time
    max_seconds: Times  # inf: nobody knows
    deadline: Times  # inf: none

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class HoldingColumns:
    """The room of E containers of running sessions; the first axis is E."""

    session: Amounts  # an index into the running sessions of the snapshot
    node: Amounts
    ends: Times  # inf: nobody knows
    slots: Amounts  # (E, K)
    kind: Amounts  # an index into the kinds of devices of the snapshot; -1: none
    milli: Amounts  # (E, D): thousandths by place; D is the largest of all kinds


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Columns over N nodes (by name), K counted slots and F features; the order of the input never matters.

    `capacity` and `used` have shape (K, N), in base units; `offers` (F, N). `used` includes the running sessions.
    `versions` (N,) tell memories that outlive a pass what changed: a node with the same version (other than 0) in two
    snapshots of the same `lineage` is the same; nodes, shapes and forms then have the same indices as well.
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
    requests: RequestColumns
    running: tuple[Running, ...]
    lineage: int
    versions: Amounts

    @classmethod
    def of(cls, nodes: Iterable[Node], requests: Iterable[Request], running: Iterable[Running] = ()) -> Snapshot:
        """Put rows into columns."""
        by_name = sorted(nodes, key=lambda node: node.name)
        waiting = sorted(requests, key=lambda request: (request.arrived, request.id))
        held = tuple(sorted(running, key=lambda one: one.id))
        slots = sorted(
            {slot for node in by_name for slot in (*node.capacity, *node.used)}
            | {slot for request in waiting for slot in request.slots}
            | {slot for one in held for part in one.parts for slot in part.slots}
        )
        features = sorted({one for node in by_name for one in node.offers})
        capacity = np.array([[node.capacity.get(slot, 0) for node in by_name] for slot in slots], dtype=np.int64)
        used = np.array([[node.used.get(slot, 0) for node in by_name] for slot in slots], dtype=np.int64)
        offers = np.array([[one in node.offers for node in by_name] for one in features], dtype=np.bool_)
        kinds = sorted({kind for node in by_name for kind in node.devices})
        shapes, forms, form = _intern(waiting)
        wanted = np.array([[shape.slots.get(slot, 0) for slot in slots] for shape in shapes], dtype=np.int64)
        snapshot = cls(
            tuple(slots),
            tuple(features),
            tuple(node.name for node in by_name),
            capacity.reshape(len(slots), len(by_name)),
            used.reshape(len(slots), len(by_name)),
            offers.reshape(len(features), len(by_name)),
            {kind: _device_columns(kind, by_name) for kind in kinds},
            shapes,
            wanted.reshape(len(shapes), len(slots)),
            forms,
            RequestColumns(
                tuple(waiting),
                np.array(form, dtype=np.int64),
                np.array([request.arrived for request in waiting], dtype=np.float64),
                np.array([request.priority for request in waiting], dtype=np.int64),
                np.array([-np.inf if one.start_at is None else one.start_at for one in waiting], dtype=np.float64),
                np.array([np.inf if one.max_seconds is None else one.max_seconds for one in waiting], dtype=np.float64),
                np.array([np.inf if one.deadline is None else one.deadline for one in waiting], dtype=np.float64),
            ),
            held,
            next(_LINEAGES),
            np.zeros(len(by_name), dtype=np.int64),
        )
        snapshot._hold()
        return snapshot

    def _hold(self) -> None:
        places = {name: at for at, name in enumerate(self.nodes)}
        for one in self.running:
            for part in one.parts:
                node = places.get(part.node)
                if node is None:
                    continue
                for slot, amount in part.slots.items():
                    self.used[self.slots.index(slot), node] += amount
                if part.shares and part.kind in self.devices:
                    columns = self.devices[part.kind]
                    for share in part.shares:
                        columns.used[node][columns.index[node] == share.index] += share.milli


_LINEAGES = itertools.count(1)


def _intern(waiting: Sequence[Request]) -> tuple[list[Shape], list[Form], list[int]]:
    shapes: dict[object, int] = {}
    forms: dict[Form, int] = {}
    kept: list[Shape] = []
    column = []
    for one in waiting:
        key = (tuple(sorted(one.slots.items())), one.needs, one.claim)
        if key not in shapes:
            shapes[key] = len(kept)
            kept.append(Shape(one.slots, one.needs, one.claim))
        column.append(forms.setdefault(Form(shapes[key], one.size, one.layout), len(forms)))
    return kept, list(forms), column


def _device_columns(kind: str, nodes: Sequence[Node]) -> DeviceColumns:
    places = max((len(node.devices.get(kind, ())) for node in nodes), default=0)
    models = sorted({device.model for node in nodes for device in node.devices.get(kind, ())})
    shape = (len(nodes), places)
    columns = DeviceColumns(
        tuple(models),
        np.full(shape, -1, dtype=np.int64),
        np.full(shape, -1, dtype=np.int64),
        np.full(shape, -1, dtype=np.int64),
        np.zeros((*shape, places), dtype=np.bool_),
        np.full(shape, WHOLE, dtype=np.int64),
    )
    for row, node in enumerate(nodes):
        devices = sorted(node.devices.get(kind, ()), key=lambda device: device.index)
        place = {device.index: at for at, device in enumerate(devices)}
        for at, device in enumerate(devices):
            columns.index[row, at] = device.index
            columns.model[row, at] = models.index(device.model)
            columns.numa[row, at] = device.numa
            columns.used[row, at] = device.used
            for other in device.links & place.keys():
                columns.linked[row, at, place[other]] = True
    return columns
