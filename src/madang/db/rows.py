"""What the repositories hand out: typed rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from madang.db.engine import Scalar
from madang.domain.container import ContainerState
from madang.domain.session import Exit, SessionKind, SessionState
from madang.schemas.agent import NetworkMode, NodeReport


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """A container of a session: where it is and how it ended."""

    id: str
    session_id: str
    node: str
    epoch: int
    state: ContainerState
    started_at: datetime | None
    ended_at: datetime | None
    exit: Exit | None


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session with its owner's name and its main container, None before it was first scheduled."""

    id: str
    owner_id: str
    owner: str
    name: str
    kind: SessionKind
    state: SessionState
    reason: str
    environment: str
    command: list[str]
    variables: dict[str, str]
    slots: dict[str, int]
    processes: int
    network: NetworkMode
    upload_id: str | None
    stop_requested_at: datetime | None
    stop_grace_seconds: float
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    deleted_at: datetime | None
    main: ContainerRow | None


@dataclass(frozen=True, slots=True)
class PendingRow:
    """What the scheduler needs to know of a waiting session."""

    id: str
    owner_id: str
    name: str
    reason: str
    environment: str
    network: NetworkMode
    slots: dict[str, int]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node as its agent reported it last."""

    name: str
    ready: bool
    slots: dict[str, int]
    environments: list[str]
    report: NodeReport
    last_seen_at: datetime
    used: dict[str, int] = field(default_factory=dict)
    sessions: int = 0


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event; `xid` and `id` give its place in the one order that all readers see."""

    xid: int
    id: int
    at: datetime
    kind: str
    session_id: str | None
    owner_id: str | None
    data: dict[str, Scalar]

    @property
    def position(self) -> tuple[int, int]:
        return self.xid, self.id


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token that was found, with its user."""

    user_id: str
    name: str
    role: str
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class UploadRow:
    """An accepted archive."""

    id: str
    owner_id: str
    size: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An idempotency key that was used."""

    digest: bytes
    session_id: str
