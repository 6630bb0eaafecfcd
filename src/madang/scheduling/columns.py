"""Rows put into columns of numbers, so that thousands of them are looked at in one step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from madang.domain.devices import WHOLE
from madang.domain.session import SessionKind
from madang.scheduling.rows import Form, Node, Part, Request, Running, Shape

Amounts = npt.NDArray[np.int64]
Times = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

KINDS = tuple(SessionKind)
NOBODY = 1 << 40
"""More than any priority."""


@dataclass(frozen=True, slots=True, eq=False)
class DeviceColumns:
    """The devices of one kind, D places a node; shape (N, D). A place without a device has index -1 and is used up.

    `links` are, for every node and place, the places it has a fast link to, as bits.
    """

    models: tuple[str, ...]
    index: Amounts
    model: Amounts  # an index into models; -1 where there is no device
    numa: Amounts
    links: tuple[tuple[int, ...], ...]
    used: Amounts  # thousandths

    @property
    def present(self) -> Flags:
        """Where there is a device, shape (N, D)."""
        return self.index >= 0


@dataclass(frozen=True, slots=True, eq=False)
class NodeColumns:
    """N nodes by name; `capacity` and `used` have shape (K, N), in base units, `offers` (F, N).

    `devices` by kind, in order of their names.
    """

    slots: tuple[str, ...]
    features: tuple[str, ...]
    names: tuple[str, ...]
    capacity: Amounts
    used: Amounts
    offers: Flags
    devices: Mapping[str, DeviceColumns]

    @classmethod
    def of(cls, nodes: Iterable[Node], slots: Iterable[str]) -> NodeColumns:
        """Nodes with what others than running sessions hold of them. `slots`: those that requests and sessions name."""
        by_name = sorted(nodes, key=lambda node: node.name)
        known = sorted({*slots, *(slot for node in by_name for slot in (*node.capacity, *node.used))})
        features = sorted({one for node in by_name for one in node.offers})
        kinds = sorted({kind for node in by_name for kind in node.devices})
        capacity = np.array([[node.capacity.get(slot, 0) for node in by_name] for slot in known], dtype=np.int64)
        used = np.array([[node.used.get(slot, 0) for node in by_name] for slot in known], dtype=np.int64)
        offers = np.array([[one in node.offers for node in by_name] for one in features], dtype=np.bool_)
        return cls(
            tuple(known),
            tuple(features),
            tuple(node.name for node in by_name),
            capacity.reshape(len(known), len(by_name)),
            used.reshape(len(known), len(by_name)),
            offers.reshape(len(features), len(by_name)),
            {kind: _device_columns(kind, by_name) for kind in kinds},
        )


def _device_columns(kind: str, nodes: Sequence[Node]) -> DeviceColumns:
    places = max((len(node.devices.get(kind, ())) for node in nodes), default=0)
    models = sorted({device.model for node in nodes for device in node.devices.get(kind, ())})
    number = {model: at for at, model in enumerate(models)}
    shape = (len(nodes), places)
    linked: list[tuple[int, ...]] = []
    columns = DeviceColumns(
        tuple(models),
        np.full(shape, -1, dtype=np.int64),
        np.full(shape, -1, dtype=np.int64),
        np.full(shape, -1, dtype=np.int64),
        (),
        np.full(shape, WHOLE, dtype=np.int64),
    )
    for row, node in enumerate(nodes):
        devices = sorted(node.devices.get(kind, ()), key=lambda device: device.index)
        place = {device.index: at for at, device in enumerate(devices)}
        for at, device in enumerate(devices):
            columns.index[row, at] = device.index
            columns.model[row, at] = number[device.model]
            columns.numa[row, at] = device.numa
            columns.used[row, at] = device.used
        linked.append(
            tuple(sum(1 << place[other] for other in device.links & place.keys()) for device in devices)
            + (0,) * (places - len(devices))
        )
    return replace(columns, links=tuple(linked))


class Interned:
    """Equal things get one number each, once and for all."""

    def __init__(self) -> None:
        self.shapes: list[Shape] = []
        self.forms: list[Form] = []
        self.users: list[str] = []
        self.projects: list[str] = []
        self._shapes: dict[object, int] = {}
        self._forms: dict[Form, int] = {}
        self._users: dict[str, int] = {}
        self._projects: dict[str, int] = {}

    def form(self, request: Request) -> int:
        """The number of what a request asks for."""
        slots = {name: amount for name, amount in request.slots.items() if amount}
        key = (frozenset(slots.items()), request.needs, request.claim)
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shapes[key] = len(self.shapes)
            self.shapes.append(Shape(slots, request.needs, request.claim))
        form = Form(shape, request.size, request.layout)
        number = self._forms.get(form)
        if number is None:
            number = self._forms[form] = len(self.forms)
            self.forms.append(form)
        return number

    def user(self, name: str) -> int:
        """The number of a user."""
        number = self._users.get(name)
        if number is None:
            number = self._users[name] = len(self.users)
            self.users.append(name)
        return number

    def project(self, name: str) -> int:
        """The number of a project."""
        number = self._projects.get(name)
        if number is None:
            number = self._projects[name] = len(self.projects)
            self.projects.append(name)
        return number


@dataclass(frozen=True, slots=True, eq=False)
class RequestColumns:
    """P waiting requests by time of arrival, then by id; every column has shape (P,)."""

    rows: Sequence[Request]
    form: Amounts
    user: Amounts
    project: Amounts
    kind: Amounts  # an index into KINDS
    priority: Amounts
    arrived: Times
    start_at: Times  # -inf: at any time
    max_seconds: Times  # inf: nobody knows
    deadline: Times  # inf: none
    blocked: Flags  # something else has to happen first

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, rows: Sequence[Request], interned: Interned) -> RequestColumns:
        """Put rows into columns, in the order in which they are given."""
        return cls(
            rows,
            np.array([interned.form(one) for one in rows], dtype=np.int64),
            np.array([interned.user(one.user) for one in rows], dtype=np.int64),
            np.array([interned.project(one.project) for one in rows], dtype=np.int64),
            np.array([KINDS.index(one.kind) for one in rows], dtype=np.int64),
            np.array([one.priority for one in rows], dtype=np.int64),
            np.array([one.arrived for one in rows], dtype=np.float64),
            np.array([-np.inf if one.start_at is None else one.start_at for one in rows], dtype=np.float64),
            np.array([np.inf if one.max_seconds is None else one.max_seconds for one in rows], dtype=np.float64),
            np.array([np.inf if one.deadline is None else one.deadline for one in rows], dtype=np.float64),
            np.array([one.blocked_by is not None for one in rows], dtype=np.bool_),
        )


@dataclass(frozen=True, slots=True, eq=False)
class HoldingColumns:
    """The room of E containers of running sessions on known nodes; the first axis is E."""

    owner: Sequence[str]  # the session
    session: Amounts  # a number that all containers of a session have in common
    yields: Amounts  # the priority of whom the session may have to give way to; NOBODY: it never has to
    node: Amounts
    user: Amounts
    started: Times
    ends: Times  # inf: nobody knows
    slots: Amounts  # (E, K)
    kind: Amounts  # an index into the kinds of devices of the snapshot; -1: none
    milli: Amounts  # (E, D): thousandths by place; D is the largest of all kinds

    def __len__(self) -> int:
        return len(self.node)

    @classmethod
    def of(cls, running: Iterable[Running], places: Places, interned: Interned) -> HoldingColumns:
        """Put the parts of sessions that lie on known nodes into columns, in the order in which they are given."""
        parts = [(one, part) for one in running for part in one.parts if part.node in places.node]
        slots = np.zeros((len(parts), len(places.slot)), dtype=np.int64)
        milli = np.zeros((len(parts), places.width), dtype=np.int64)
        for row, (_, part) in enumerate(parts):
            places.write(part, slots[row], milli[row])
        numbers: dict[str, int] = {}
        return cls(
            [one.id for one, _ in parts],
            np.array([numbers.setdefault(one.id, len(numbers)) for one, _ in parts], dtype=np.int64),
            np.array([yields(one) for one, _ in parts], dtype=np.int64),
            np.array([places.node[part.node] for _, part in parts], dtype=np.int64),
            np.array([interned.user(one.user) for one, _ in parts], dtype=np.int64),
            np.array([one.started for one, _ in parts], dtype=np.float64),
            np.array([np.inf if one.ends is None else one.ends for one, _ in parts], dtype=np.float64),
            slots,
            np.array([places.kind.get(part.kind, -1) for _, part in parts], dtype=np.int64),
            milli,
        )

    def sized(self, size: int) -> HoldingColumns:
        """A copy with so many rows: the first ones, or all and room for more."""
        return HoldingColumns(
            self.owner[:size],
            _sized(self.session, size),
            _sized(self.yields, size),
            _sized(self.node, size),
            _sized(self.user, size),
            _sized(self.started, size),
            _sized(self.ends, size),
            _sized(self.slots, size),
            _sized(self.kind, size),
            _sized(self.milli, size),
        )

    def plus(self, more: HoldingColumns) -> HoldingColumns:
        """These rows and then others."""
        return HoldingColumns(
            [*self.owner, *more.owner],
            np.concatenate([self.session, more.session]),
            np.concatenate([self.yields, more.yields]),
            np.concatenate([self.node, more.node]),
            np.concatenate([self.user, more.user]),
            np.concatenate([self.started, more.started]),
            np.concatenate([self.ends, more.ends]),
            np.concatenate([self.slots, more.slots]),
            np.concatenate([self.kind, more.kind]),
            np.concatenate([self.milli, more.milli]),
        )

    def move(self, row: int, to: int) -> None:
        """Write one row over another, but for its owner."""
        for numbers in (self.session, self.yields, self.node, self.user, self.slots, self.kind, self.milli):
            numbers[to] = numbers[row]
        for times in (self.started, self.ends):
            times[to] = times[row]


def yields(one: Running) -> int:
    """The priority from which on an interactive session may take the room of a running one."""
    gives = one.preemptible and one.kind is SessionKind.BATCH and not one.making_room_for
    return one.priority if gives else NOBODY


_Number = TypeVar("_Number", bound=np.generic)


def _sized(column: npt.NDArray[_Number], size: int) -> npt.NDArray[_Number]:
    if size <= len(column):
        return column[:size].copy()
    longer = np.zeros((size, *column.shape[1:]), dtype=column.dtype)
    longer[: len(column)] = column
    return longer


class Places:
    """Where in the columns of nodes a name stands."""

    def __init__(self, nodes: NodeColumns) -> None:
        self.node: Mapping[str, int] = {name: at for at, name in enumerate(nodes.names)}
        self.slot: Mapping[str, int] = {name: at for at, name in enumerate(nodes.slots)}
        self.kind: Mapping[str, int] = {name: at for at, name in enumerate(nodes.devices)}
        self.width: int = max((columns.index.shape[1] for columns in nodes.devices.values()), default=0)
        self._place = {
            kind: [{index: at for at, index in enumerate(row) if index >= 0} for row in columns.index.tolist()]
            for kind, columns in nodes.devices.items()
        }

    def write(self, part: Part, slots: Amounts, milli: Amounts) -> None:
        """Write the room of a part on a known node into one row of amounts (K,) and one of thousandths (D,)."""
        for name, amount in part.slots.items():
            slots[self.slot[name]] = amount
        if part.shares and part.kind in self.kind:
            place = self._place[part.kind][self.node[part.node]]
            for share in part.shares:
                if share.index in place:  # a device may have been taken out of its node
                    milli[place[share.index]] += share.milli


def add_holdings(nodes: NodeColumns, holdings: HoldingColumns) -> None:
    """Add what running sessions hold to what is used of the nodes."""
    np.add.at(nodes.used.T, holdings.node, holdings.slots)
    for number, columns in enumerate(nodes.devices.values()):
        of_kind = holdings.kind == number
        np.add.at(columns.used, holdings.node[of_kind], holdings.milli[of_kind, : columns.used.shape[1]])


def held_by_user(holdings: HoldingColumns, users: int, kinds: int) -> Amounts:
    """What every user holds, shape (U, K + Q): counted slots, then thousandths of devices by kind."""
    slots = holdings.slots.shape[1]
    held = np.zeros((users, slots + kinds), dtype=np.int64)
    np.add.at(held[:, :slots], holdings.user, holdings.slots)
    of_kind = np.flatnonzero(holdings.kind >= 0)
    np.add.at(held, (holdings.user[of_kind], slots + holdings.kind[of_kind]), holdings.milli[of_kind].sum(axis=1))
    return held
