"""Wire models of the REST API, version 1: what clients send and what they get."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Generic, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from madang.domain.container import ContainerState
from madang.domain.names import NAME_PATTERN, PATH_PATTERN
from madang.domain.rights import Scope
from madang.domain.session import ExitReason, Layout, SessionKind, SessionState
from madang.schemas.agent import DeviceInfo, EnvironmentStatus, FileEntry, LogChunk, NetworkMode, NodeReport, Usage
from madang.schemas.base import Wire

__all__ = ["EnvironmentStatus", "FileEntry", "LogChunk", "NodeReport", "Usage"]

DEFAULT_GROUP: Final = "default"
"""The resource group that is always there, and that new nodes join."""

Id = Annotated[str, Field(pattern=r"^[0-9a-z]{26}$")]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
ProjectPath = Annotated[str, Field(pattern=PATH_PATTERN)]
"""The name of a project, with its domain before a slash where that is not the default one."""

Argument = Annotated[str, Field(max_length=32_768, pattern=r"^[^\x00]*$")]
Model = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f|]*$")]
Seconds = Annotated[float, Field(ge=1, le=316_224_000, allow_inf_nan=False)]  # up to ten years
Weight = Annotated[float, Field(ge=0.001, le=1000, allow_inf_nan=False)]  # 2: twice the share of one who has 1
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
EndOfDay = Annotated[str, Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]
TimeZone = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")]  # e.g. Asia/Seoul
UserName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
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


SessionRef = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[0-9a-z-]+$")]


class SessionCreate(Wire):
    """What somebody asks for. A string amount is what people write ("0.5", "8g"); an integer is in the base unit."""

    kind: SessionKind = SessionKind.BATCH
    name: Name | None = None  # made up when absent
    environment: Name = "python"
    command: list[Argument] = Field(default=[], max_length=1024)  # required for batch
    variables: dict[str, Argument] = Field(default={}, max_length=256)
    slots: dict[str, Amount] = Field(default={}, max_length=16)  # beside the preset; what neither has: 1 cpu, 1g mem
    preset: Name | None = None  # of its resource group
    processes: int = Field(default=1024, ge=1, le=1_000_000)
    network: NetworkMode | None = None  # null: outbound where a node offers it, else none
    upload: Id | None = None  # an archive from POST /uploads, unpacked into the work directory
    resource_group: Name = DEFAULT_GROUP
    models: list[Model] = Field(default=[], max_length=16)  # of its devices, any of these; empty: any
    size: int = Field(default=1, ge=1, le=512)  # containers, each with `slots`; all start together or none
    layout: Layout = Layout.ANY
    priority: int = Field(default=0, ge=-100, le=100)  # higher goes first; above 0 is for administrators
    start_at: AwareDatetime | None = None  # not before
    max_seconds: Seconds | None = None  # of running; then it is stopped and has failed
    deadline: AwareDatetime | None = None  # it fails as soon as it cannot be done by then, as far as is known
    after: list[SessionRef] = Field(default=[], max_length=64)  # ids or names: when they have ended
    after_ok: list[SessionRef] = Field(default=[], max_length=64)  # when they have succeeded
    preemptible: bool | None = None  # whether it may have to give way; null: batch may, others may not
    reservation: Name | None = None  # whose room it may use
    project: ProjectPath | None = None  # whose session it is; null: the default project, or one's only one


class SessionExit(Wire):
    """How the main process ended."""

    reason: ExitReason
    code: int | None = None
    signal: int | None = None
    message: str = ""


class HeldDevice(Wire):
    """What a container holds of one device of its node."""

    kind: str
    index: int
    milli: int  # thousandths; 1000: the device alone


class SessionContainer(Wire):
    """One container of a session."""

    role: Literal["main", "sub"]
    rank: int  # 0 is the main container
    node: str
    state: ContainerState
    devices: list[HeldDevice]
    exit: SessionExit | None


class Waiting(Wire):
    """Why a session waits: `reason` says it in English, `code` and `values` let a client say it in any language."""

    code: str
    values: dict[str, str | int | float]
    position: int  # in the queue of its resource group, from 1
    of: int
    estimated_start: datetime | None  # where run times are known


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
    resource_group: str = DEFAULT_GROUP
    models: list[str] = []
    size: int = 1
    layout: Layout = Layout.ANY
    priority: int = 0
    start_at: datetime | None = None
    max_seconds: float | None = None
    deadline: datetime | None = None
    after: list[str] = []  # ids
    after_ok: list[str] = []
    preemptible: bool = False
    reservation: str | None = None
    containers: list[SessionContainer] = []  # by rank; none before it was first given a node
    waiting: Waiting | None = None  # while it is pending
    requeues: int = 0  # how often it gave way to others and was queued anew
    project: str = ""
    may: list[str] = []  # what the caller has the right to: "read", "enter", "stop", "share"


class SessionQuery(BaseModel):
    """Which sessions are listed."""

    model_config = ConfigDict(frozen=True)

    state: list[SessionState] = Field(default=[], description="Only these states; repeat it for several.")
    kind: SessionKind | None = Field(default=None, description="Only this kind.")
    name: str | None = Field(default=None, pattern=NAME_PATTERN, description="Only sessions of this name.")
    project: ProjectPath | None = Field(default=None, description="Only sessions of this project.")
    limit: int = Field(default=50, ge=1, le=200, description="Sessions on a page.")
    cursor: str | None = Field(
        default=None, pattern=r"^[0-9a-z]{26}$", description="`next` of the page before this one."
    )


class PlannedContainer(Wire):
    """Where a container would go."""

    rank: int
    node: str
    devices: list[HeldDevice]


class PlanAnswer(Wire):
    """What would happen to a session if it were submitted now. Nothing is kept of the question."""

    starts: bool  # at once
    placements: list[PlannedContainer]  # by rank; empty when it would wait
    reason: str  # why it would wait, one sentence
    waiting: Waiting | None
    would_preempt: list[str]  # names of sessions that would have to give way to it


class SessionStop(Wire):
    """How to stop a session."""

    grace_seconds: float = Field(default=10, ge=0, le=3600)  # between SIGTERM and SIGKILL


class Upload(Wire):
    """An accepted archive; it is forgotten after an hour unless a session uses it."""

    id: Id
    size: int


class DeviceState(DeviceInfo):
    """A device of a node, and who holds how much of it."""

    used: int  # thousandths
    sessions: list[str]  # names of those who hold it, as far as the caller may see them


class NodeState(Wire):
    """A node, what it offers, and what of it is taken."""

    name: str
    state: Literal["ready", "unreachable"]
    slots: dict[str, int]
    used: dict[str, int]
    sessions: int
    report: NodeReport
    last_seen_at: datetime
    resource_group: str = DEFAULT_GROUP
    devices: list[DeviceState] = []


class NodeUpdate(Wire):
    """What an administrator may change of a node."""

    resource_group: Name


class CalendarWindow(Wire):
    """A part of every week in which a resource group has its own rule. `end` <= `start` passes midnight."""

    name: Name
    days: list[Day] = Field(default=["mon", "tue", "wed", "thu", "fri", "sat", "sun"], min_length=1, max_length=7)
    start: TimeOfDay = "00:00"
    end: EndOfDay = "24:00"
    kinds: list[SessionKind] = Field(default=[], max_length=4)  # that may start; empty: all
    gpus: Literal["any", "whole", "fractions"] = "any"  # what sessions with devices may ask for


class GroupPolicy(Wire):
    """How a resource group shares its nodes."""

    queue: Literal["fifo", "lifo", "drf", "fair-share"] = "drf"
    placement: Literal["pack", "spread", "fgd"] = "fgd"
    backfill: bool = True  # others may pass a blocked session when that does not delay it
    aging_seconds: float = Field(default=3600, ge=0, le=31_622_400, allow_inf_nan=False)  # a step of priority; 0: none
    half_life_days: float = Field(default=7, gt=0, le=3660, allow_inf_nan=False)  # of the history of fair-share
    user_weights: dict[UserName, Weight] = Field(default={}, max_length=10_000)  # missing: 1
    project_weights: dict[UserName, Weight] = Field(default={}, max_length=10_000)
    preemption: bool = False  # batch gives way to interactive
    preemption_grace_seconds: float = Field(default=30, ge=0, le=3600, allow_inf_nan=False)
    timezone: TimeZone = "UTC"  # of the calendar
    calendar: list[CalendarWindow] = Field(default=[], max_length=64)  # empty: no rule; else it covers the whole week
    reservation_lead_hours: float = Field(default=4, ge=0, le=720, allow_inf_nan=False)  # room is kept free so early


class GroupAccess(Wire):
    """To whom a resource group is open: to all projects of some domains, to some projects, to some users."""

    domains: list[Name] = Field(default=[], max_length=1000)
    projects: list[ProjectPath] = Field(default=[], max_length=1000)
    users: list[UserName] = Field(default=[], max_length=10_000)


class GroupPut(GroupPolicy):
    """A resource group as it shall be. What is left out has its default, but `access`, which stays as it is."""

    access: GroupAccess | Literal["everybody"] | None = None  # null: as it is; of a new group, everybody


class ResourceGroup(Wire):
    """A named set of nodes with one queue and its own policy."""

    name: str
    policy: GroupPolicy
    access: GroupAccess | Literal["everybody"] | None = None  # null: not for the caller to know
    nodes: list[str]
    pending: int  # sessions
    running: int  # sessions that hold room


class ReservationCreate(Wire):
    """Room kept for some users: every week (`days`, `start`, `end`), or once (`starts_at`, `ends_at`)."""

    name: Name
    resource_group: Name = DEFAULT_GROUP
    slots: dict[str, Amount] = Field(min_length=1, max_length=16)  # in all; of devices whole ones: cuda.device
    models: list[Model] = Field(default=[], max_length=16)
    users: list[UserName] = Field(min_length=1, max_length=1000)  # names
    days: list[Day] = Field(default=[], max_length=7)
    start: TimeOfDay | None = None
    end: EndOfDay | None = None
    timezone: TimeZone = "UTC"
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None


class Reservation(Wire):
    """Room kept for some users, and when next."""

    id: Id
    name: str
    resource_group: str
    slots: dict[str, int]  # base units
    models: list[str]
    users: list[str]
    days: list[Day]
    start: str | None
    end: str | None
    timezone: str
    starts_at: datetime | None
    ends_at: datetime | None
    next_start: datetime | None  # of the occurrence that is on or comes next; null: it is over
    next_end: datetime | None
    created_at: datetime


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


class MyProject(Wire):
    """A project that one is in."""

    project: str
    role: Literal["owner", "maintainer", "member", "viewer"]


class Me(Wire):
    """Whose credential this is."""

    id: Id
    name: str
    role: Literal["admin", "domain_admin", "user"]
    projects: list[MyProject] = []
    scopes: list[str] | None = None  # that the credential is limited to; null: none
    csrf: str | None = None  # for the header X-CSRF-Token, where the credential is a cookie


class PolicyHolder(Wire):
    """Upon whom a policy is laid: `member` is each in a project, `domain_user` each of a domain who has none."""

    upon: Literal["user", "project", "member", "domain", "domain_user"]
    name: str


class PolicyLimits(Wire):
    """Limits as people write them; what is left out has none. See docs/policies.md."""

    slots: dict[str, Amount] | None = Field(default=None, max_length=32)  # in use; "cuda.device": 2
    sessions: int | None = Field(default=None, ge=0, le=10**9)  # live ones
    pending: int | None = Field(default=None, ge=0, le=10**9)
    containers: int | None = Field(default=None, ge=0, le=10**9)  # of one session
    folders: int | None = Field(default=None, ge=0, le=10**9)
    folder_bytes: Amount | None = None
    run_time: Annotated[str, Field(max_length=40)] | None = None  # of one session, such as "2h"
    idle_time: Annotated[str, Field(max_length=40)] | None = None
    environments: list[Name] | None = Field(default=None, max_length=1000)  # allowed ones
    groups: list[Name] | None = Field(default=None, max_length=1000)  # allowed resource groups
    gpu_hours: Annotated[str, Field(max_length=20)] | None = None  # a month


class PolicyLay(Wire):
    """Upon whom to lay a policy."""

    upon: Literal["user", "project", "member", "domain", "domain_user"]
    name: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
    policy: Name | None  # null: none


class Policy(Wire):
    """Limits with a name."""

    name: str
    limits: PolicyLimits
    holders: list[PolicyHolder] | None  # null: not for the caller to know
    created_at: datetime


class DeviceHours(Wire):
    """Hours of whole devices; parts count as parts."""

    kind: str
    model: str
    hours: float


class UsageRow(Wire):
    """What somebody held, and for how long."""

    name: str
    slot_seconds: dict[str, float]  # base units times seconds; devices of a kind together as `<kind>.shares`
    device_hours: list[DeviceHours]
    gpu_hours: float
    cost: str  # exact until here, and rounded only now


class UsageReport(Wire):
    """What was held within a period, by session, user, project or domain."""

    by: Literal["session", "user", "project", "domain"]
    since: datetime
    until: datetime
    currency: str
    cost: str  # of all rows, summed before it was rounded
    rows: list[UsageRow]


class AuditEntry(Wire):
    """Somebody changed something."""

    id: int
    at: datetime
    actor: str
    credential: str  # the id of the token
    address: str  # where the request came from
    action: str  # such as "session.stop"
    target_id: str
    target: str  # its name
    before: dict[str, JsonValue] | None = None  # of what changed
    after: dict[str, JsonValue] | None = None


class TokenCreate(Wire):
    """An access token that somebody wants."""

    label: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]*$")]
    expires_at: AwareDatetime | None = None  # null: never
    scopes: list[Scope] | None = Field(default=None, min_length=1, max_length=32)  # null: all that its user may do


class Token(Wire):
    """An access token or a session of a browser, without the secret."""

    id: Id
    kind: Literal["token", "browser"] = "token"
    label: str
    scopes: list[Scope] | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None  # to the minute


class NewToken(Token):
    """A token that was just made. The secret is shown this once."""

    token: str


class ServerInfo(Wire):
    """What server this is."""

    version: str
