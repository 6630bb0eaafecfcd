"""What a scheduling pass is told, row by row: nodes with their devices, waiting requests, and running sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from madang.domain.devices import Claim, Share
from madang.domain.session import Layout, SessionKind
from madang.domain.why import Why


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
    deadline: float | None = None  # by when it has to have ended
    blocked_by: Why | None = None  # what has to happen first
    reservation: str = ""  # a reservation whose room it may use
    gave_way_to: str = ""  # the session for which it was stopped, and whose room it does not take again
    domain: str = ""


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
    domain: str = ""


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
