"""Wire models of the REST API, version 1: what clients send and what they get."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field

from madang.domain.names import NAME_PATTERN
from madang.domain.session import ExitReason, SessionKind, SessionState
from madang.schemas.agent import EnvironmentStatus, FileEntry, LogChunk, NetworkMode, NodeReport, Usage
from madang.schemas.base import Wire

__all__ = ["EnvironmentStatus", "FileEntry", "LogChunk", "NodeReport", "Usage"]

Id = Annotated[str, Field(pattern=r"^[0-9a-z]{26}$")]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Argument = Annotated[str, Field(max_length=32_768, pattern=r"^[^\x00]*$")]
Amount = Annotated[int, Field(ge=0, le=2**63 - 1)] | Annotated[str, Field(max_length=40)]
T = TypeVar("T")


class Page(Wire, Generic[T]):
    """One page of a listing. `next` is the cursor of the next page, or null on the last."""

    items: list[T]
    next: str | None = None


class Problem(Wire):
    """An error as RFC 9457 problem details."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[str] = []  # each invalid field in a sentence


class SessionCreate(Wire):
    """What somebody asks for. A string amount is what people write ("0.5", "8g"); an integer is in the base unit."""

    kind: SessionKind = SessionKind.BATCH
    name: Name | None = None  # made up when absent
    environment: Name = "python"
    command: list[Argument] = Field(default=[], max_length=1024)  # required for batch
    variables: dict[str, Argument] = Field(default={}, max_length=256)
    slots: dict[str, Amount] = Field(default={"cpu": "1", "mem": "1g"}, max_length=16)
    processes: int = Field(default=1024, ge=1, le=1_000_000)
    network: NetworkMode | None = None  # null: outbound where a node offers it, else none
    upload: Id | None = None  # an archive from POST /uploads, unpacked into the work directory


class SessionExit(Wire):
    """How the main process ended."""

    reason: ExitReason
    code: int | None = None
    signal: int | None = None
    message: str = ""


class Session(Wire):
    """A session as its users see it."""

    id: Id
    name: str
    owner: str
    kind: SessionKind
    state: SessionState
    reason: str  # why it waits or ended, one sentence; empty when there is nothing to say
    environment: str
    command: list[str]
    variables: dict[str, str]
    slots: dict[str, int]  # base units
    processes: int
    network: NetworkMode
    node: str | None
    exit: SessionExit | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class SessionStop(Wire):
    """How to stop a session."""

    grace_seconds: float = Field(default=10, ge=0, le=3600)  # between SIGTERM and SIGKILL


class Upload(Wire):
    """An accepted archive; it is forgotten after an hour unless a session uses it."""

    id: Id
    size: int


class NodeState(Wire):
    """A node, what it offers, and what of it is taken."""

    name: str
    state: Literal["ready", "unreachable"]
    slots: dict[str, int]
    used: dict[str, int]
    sessions: int
    report: NodeReport
    last_seen_at: datetime


class Event(Wire):
    """One change of state. `id` resumes the stream behind this event."""

    id: str
    at: datetime
    kind: str  # e.g. session.running
    session: Id | None
    data: dict[str, str | int | float | bool | None]


class LogEvent(Wire):
    """A piece of output on the log stream: `text` when it is whole UTF-8, `base64` otherwise."""

    stream: Literal["stdout", "stderr"]
    at: datetime
    text: str | None = None
    base64: str | None = None
    skipped: int = 0


class Health(Wire):
    """Whether the platform answers and is ready to take work."""

    status: Literal["ok", "starting", "degraded"]
    components: dict[str, str]


class Me(Wire):
    """Whose credential this is."""

    id: Id
    name: str
    role: Literal["admin", "user"]


class ServerInfo(Wire):
    """What server this is."""

    version: str
