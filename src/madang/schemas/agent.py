"""Messages between the manager and an agent. All are serialisable, also when both live in one process."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from madang.domain.session import Exit, ExitReason
from madang.schemas.base import Wire

NetworkMode = Literal["none", "outbound"]
Stream = Literal["stdout", "stderr"]
DEVICE_KIND = r"^[a-z][a-z0-9]{0,31}$"  # what may stand before the dot of a slot name


class Limits(StrEnum):
    """Whether a node can make a container keep its CPU, memory and process limits."""

    ENFORCED = "enforced"  # by cgroups
    ADVISORY = "advisory"  # no writable cgroup: asked for, not enforced


class DeviceInfo(Wire):
    """One device of a node that sessions can hold, whole or a share of it."""

    kind: str = Field(pattern=DEVICE_KIND)  # "cuda", "rocm", "tpu", ...: the part of the slot name before the dot
    index: int = Field(ge=0)  # on its node, within its kind
    id: str  # stays the same when the node starts anew: a UUID, or a bus address
    model: str  # short, as people say it: "A100", "RTX 4090"
    mem: int = Field(ge=0)  # bytes; 0 where it cannot be known
    numa: int = -1  # NUMA node of its bus; -1 where unknown
    links: list[int] = []  # indices of devices of this kind with a fast link to it (NVLink, xGMI, ICI)
    divisible: bool = True  # whether several sessions may have parts of it
    mock: bool = False  # there is no such hardware: it is for trying things out


class DeviceShare(Wire):
    """What a container holds of one device of its node."""

    kind: str = Field(pattern=DEVICE_KIND)
    index: int = Field(ge=0)
    id: str  # of the device, so that a node on which the indices have moved notices
    milli: int = Field(ge=1, le=1000)  # thousandths of the device; 1000: it alone


class NodeReport(Wire):
    """What a node is and can do, as its agent found it."""

    name: str
    architecture: str  # as `uname -m`
    system: str  # e.g. "Debian GNU/Linux 12, Linux 6.1"
    slots: dict[str, int]  # capacity offered to sessions, in base units
    runtime: str  # "bubblewrap" or "process"
    runtime_reason: str  # why this runtime: empty for the best one
    isolated: bool  # whether sessions cannot see the host and each other
    limits: Limits
    limits_reason: str  # why advisory; empty when enforced
    networks: list[NetworkMode]
    networks_reason: str  # why `outbound` is missing; empty when it is there
    version: str  # of Madang
    devices: list[DeviceInfo] = []  # `slots` counts them too, as `<kind>.device` and `<kind>.shares`
    devices_reason: str = ""  # why devices of this machine cannot be used; empty when all is well


class ContainerSpec(Wire):
    """Everything an agent needs to make one container. `epoch` counts launches; older ones are refused."""

    container_id: str
    session_id: str
    epoch: int = Field(ge=1)
    hostname: str
    environment: str  # name of an environment
    command: list[str]
    variables: dict[str, str] = {}
    cpu: int = Field(ge=1)  # millicores
    mem: int = Field(ge=1)  # bytes, /tmp and /dev/shm included
    processes: int = Field(default=1024, ge=1)
    network: NetworkMode = "none"
    log_bytes: int = Field(default=64 << 20, ge=1 << 16)  # newest output kept
    devices: list[DeviceShare] = []  # what it may see and use; none: it sees no device at all
    rank: int = Field(default=0, ge=0)  # of this container among the `size` containers of its session; 0: main
    size: int = Field(default=1, ge=1)


class Phase(StrEnum):
    """Where a container stands on its node."""

    CREATED = "created"  # directories made; files may be put in; not started
    STARTING = "starting"  # its environment or sandbox is being made
    RUNNING = "running"
    ENDED = "ended"  # `exit` says how; logs and files are still there


class ExitReport(Wire):
    """How a container's main process ended; the wire form of domain.session.Exit."""

    reason: ExitReason
    code: int | None = None
    signal: int | None = None
    message: str = ""

    def to_domain(self) -> Exit:
        return Exit(self.reason, self.code, self.signal, self.message)


class ContainerStatus(Wire):
    """What the agent knows of one container."""

    container_id: str
    epoch: int
    phase: Phase
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit: ExitReport | None = None


class Usage(Wire):
    """What a container uses now."""

    at: datetime
    cpu_seconds: float  # since its start
    mem_bytes: int
    mem_peak_bytes: int
    processes: int


class LogChunk(Wire):
    """A piece of a container's output.

    `cursor` points behind the piece: reading from it continues without gap or repetition. `skipped` is the number of
    bytes before this piece that rotation had already removed.
    """

    cursor: int
    stream: Stream
    at: datetime
    data: bytes
    skipped: int = 0


class LogPage(Wire):
    """Consecutive pieces of output. `ended` means: the container has ended and there is nothing behind `cursor`."""

    chunks: list[LogChunk]
    cursor: int
    ended: bool


class FileEntry(Wire):
    """A file in a container's work directory."""

    path: str  # relative to the work directory, parts joined by "/"
    kind: Literal["file", "directory", "symlink", "other"]
    size: int
    modified_at: datetime


class ExecSpec(Wire):
    """A further process in a running container."""

    command: list[str] = Field(min_length=1)
    variables: dict[str, str] = {}
    terminal: bool = False  # with a pseudo-terminal; stdout and stderr are one then
    rows: int = Field(default=24, ge=1, le=1000)
    columns: int = Field(default=80, ge=1, le=1000)


class EnvironmentState(StrEnum):
    """Whether a node has an environment ready."""

    MISSING = "missing"
    BUILDING = "building"
    READY = "ready"
    FAILED = "failed"


class EnvironmentStatus(Wire):
    """An environment as a node has it."""

    name: str
    description: str
    state: EnvironmentState
    digest: str  # content address of the manifest on this node
    packages: list[str]
    python: str  # version asked for, "" for the node's own
    size_bytes: int | None = None  # when ready
    progress: float | None = None  # 0..1 while building
    message: str = ""  # what the build does now, or why it failed
