"""What the repositories hand out: typed rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from madang.db.engine import Scalar
from madang.domain.access import Access
from madang.domain.container import ContainerState
from madang.domain.limits import Limits
from madang.domain.people import Membership, ProjectRole, Role, ShareLevel, project_path
from madang.domain.rights import Scope
from madang.domain.session import Exit, Layout, SessionKind, SessionState
from madang.schemas.agent import NetworkMode, NodeReport
from madang.schemas.api import DEFAULT_GROUP, Day, GroupPolicy

Holder = Literal["user", "project", "member", "domain", "domain_user"]
"""Upon whom a policy is laid: `member` is each in a project, `domain_user` each of a domain who has none."""

StopReason = Literal["", "user", "time", "preempted", "budget"]
"""Who wants a session to end: somebody who asked, its maximum run time, another session that needs its room, or the
budget of its project."""


@dataclass(frozen=True, slots=True)
class HeldDevice:
    """What a container holds of one device of its node: thousandths, 1000 for the device alone."""

    kind: str
    index: int
    milli: int


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """A container of a session: where it is, what it holds there and how it ended. Rank 0 is the main container."""

    id: str
    session_id: str
    node: str
    epoch: int
    state: ContainerState
    started_at: datetime | None
    ended_at: datetime | None
    exit: Exit | None
    rank: int = 0
    slots: dict[str, int] = field(default_factory=dict)  # all it holds; devices both as shares and as whole ones
    devices: tuple[HeldDevice, ...] = ()


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A container of which a node may have something, in few words: there are many that have ended."""

    id: str
    epoch: int
    state: ContainerState
    session_state: SessionState


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """Why a session waits, in a form that every language can say; see domain.why."""

    code: str
    values: dict[str, str | int | float]
    position: int  # in the queue of its resource group, from 1
    of: int
    estimated_start: datetime | None


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session with its owner's name and its containers by rank, none before it was first scheduled."""

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
    containers: tuple[ContainerRow, ...] = ()
    resource_group: str = DEFAULT_GROUP
    models: tuple[str, ...] = ()
    size: int = 1
    layout: Layout = Layout.ANY
    priority: int = 0
    start_at: datetime | None = None
    max_seconds: float | None = None
    deadline: datetime | None = None
    preemptible: bool = False
    reservation: str | None = None
    waiting: WaitingRow | None = None
    requeues: int = 0
    stop_reason: StopReason = ""
    preempted_for: str | None = None
    held_since: datetime | None = None
    project_id: str = ""
    project: str = ""  # its path
    domain_id: str = ""
    domain: str = ""
    after: tuple[str, ...] = ()  # ids of sessions that have to end first
    after_ok: tuple[str, ...] = ()  # ids of those that have to succeed first

    @property
    def main(self) -> ContainerRow | None:
        """The container whose end is the session's end."""
        return self.containers[0] if self.containers else None


@dataclass(frozen=True, slots=True)
class PartRow:
    """What one container holds."""

    node: str
    slots: dict[str, int]  # devices both as shares and as whole ones
    devices: tuple[HeldDevice, ...]


@dataclass(frozen=True, slots=True)
class DependencyRow:
    """What a pending session waits for."""

    session_id: str
    on_session_id: str
    on_name: str
    on_state: SessionState
    ok: bool  # whether the other has to succeed, not only to end


@dataclass(frozen=True, slots=True)
class LiveRow:
    """What the scheduler needs to know of a session that waits or holds room."""

    id: str
    owner_id: str
    owner: str
    name: str
    kind: SessionKind
    state: SessionState
    reason: str
    waiting: WaitingRow | None
    environment: str
    network: NetworkMode
    slots: dict[str, int]  # of each container
    created_at: datetime
    resource_group: str
    models: tuple[str, ...]
    size: int
    layout: Layout
    priority: int
    start_at: datetime | None
    max_seconds: float | None
    deadline: datetime | None
    preemptible: bool
    reservation: str | None
    started_at: datetime | None
    held_since: datetime | None
    stop_requested_at: datetime | None
    stop_grace_seconds: float
    stop_reason: StopReason
    preempted_for: str | None
    project_id: str
    project: str  # its path
    domain_id: str
    domain: str
    parts: tuple[PartRow, ...] = ()  # by rank; none while it waits
    dependencies: tuple[DependencyRow, ...] = ()  # met or not; none once it does not wait


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node as its agent reported it last."""

    name: str
    ready: bool
    slots: dict[str, int]
    environments: list[str]
    report: NodeReport
    last_seen_at: datetime
    resource_group: str = DEFAULT_GROUP
    used: dict[str, int] = field(default_factory=dict)  # slot to amount, device slots included
    sessions: int = 0


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """What one session holds of one device."""

    node: str
    kind: str
    index: int
    milli: int
    session_id: str
    session: str  # its name
    owner_id: str


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A resource group, its policy, and to whom it is open; None: to everybody."""

    name: str
    policy: GroupPolicy
    created_at: datetime
    access: Access | None = None


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """When a reservation holds: every week on some days between two times of day, or once between two moments."""

    days: tuple[Day, ...] = ()
    start: str | None = None
    end: str | None = None
    timezone: str = "UTC"
    starts_at: datetime | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReservationRow:
    """Room of a resource group kept for some users at some times: counted slots, and whole devices of a kind."""

    id: str
    name: str
    resource_group: str
    slots: dict[str, int]
    device_kind: str  # "" when it has no devices
    device_count: int
    models: tuple[str, ...]  # of the devices; empty: any
    users: tuple[str, ...]  # names
    schedule: ScheduleRow
    created_by: str  # id of a user
    created_at: datetime


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
class PolicyRow:
    """Limits with a name, and upon whom they are laid: `user kim`, `member vision`, ..."""

    name: str
    limits: Limits
    created_at: datetime
    holders: tuple[tuple[Holder, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What is wanted of the audit; None: everything."""

    actor: str | None = None  # a name
    action: str | None = None  # also the first part of one: `session`
    target: str | None = None  # an id or a name
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Somebody did something."""

    id: int
    at: datetime
    actor: str
    credential: str
    address: str
    action: str
    target_id: str
    target: str
    before: dict[str, object] | None
    after: dict[str, object] | None


@dataclass(frozen=True, slots=True)
class TokenNew:
    """A token that is made."""

    id: str
    user_id: str
    digest: bytes  # SHA-256
    label: str
    created_at: datetime
    expires_at: datetime | None = None
    scopes: frozenset[Scope] | None = None
    kind: Literal["token", "browser"] = "token"


@dataclass(frozen=True, slots=True)
class KeyNew:
    """A signing key that is made."""

    id: str  # mdk_..., no secret
    user_id: str
    label: str
    sealed: str  # the secret, see services.identity.sealed
    created_at: datetime
    expires_at: datetime | None = None
    scopes: frozenset[Scope] | None = None


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token that was found, with its user."""

    id: str
    label: str
    created_at: datetime
    last_used_at: datetime | None
    user_id: str
    name: str
    role: Role
    domain_id: str
    active: bool  # the user and the domain
    robot: bool  # the user is one
    memberships: tuple[Membership, ...]
    scopes: frozenset[Scope] | None
    expires_at: datetime | None
    revoked_at: datetime | None
    kind: Literal["token", "browser"]


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


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What a user took of a resource group: slot-seconds, decayed until `as_of`. Devices count as `<kind>.shares`."""

    resource_group: str
    user_id: str
    user: str  # name
    slots: dict[str, float]
    as_of: datetime
    half_life_seconds: float


@dataclass(frozen=True, slots=True)
class DomainRow:
    """An organisation."""

    id: str
    name: str
    title: str
    active: bool
    created_at: datetime
    projects: int = 0
    users: int = 0


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A team of a domain."""

    id: str
    domain_id: str
    domain: str  # its name
    name: str
    title: str
    active: bool
    created_at: datetime
    members: int = 0

    @property
    def path(self) -> str:
        return project_path(self.domain, self.name)


@dataclass(frozen=True, slots=True)
class MemberRow:
    """Somebody in a project."""

    user_id: str
    user: str  # name
    full_name: str
    project: str  # path
    role: ProjectRole
    created_at: datetime
    expires_at: datetime | None
    robot: bool = False


@dataclass(frozen=True, slots=True)
class UserRow:
    """An account."""

    id: str
    name: str
    role: Role
    domain_id: str
    domain: str  # its name
    created_at: datetime
    email: str | None = None
    full_name: str = ""
    active: bool = True
    robot_of: str | None = None  # the project whose robot it is, by id; None: a person
    source: str | None = None  # the other system that it signs in with; None: here
    subject: str | None = None  # who it is there


@dataclass(frozen=True, slots=True)
class ShareRow:
    """With whom a session is shared: a user or a project, by name and path."""

    session_id: str
    user_id: str | None
    user: str | None
    project_id: str | None
    project: str | None
    level: ShareLevel
    created_at: datetime


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A link that lets somebody in; `digest` is the SHA-256 of what it carries."""

    id: str
    digest: bytes = field(repr=False)
    kind: Literal["password", "invitation", "sign_up"]
    created_by: str
    created_at: datetime
    expires_at: datetime
    user_id: str | None = None
    project_id: str | None = None
    role: ProjectRole | None = None
    member_until: datetime | None = None
    email: str | None = None
    data: dict[str, str] | None = field(default=None, repr=False)
    most_uses: int = 1
    uses: int = 0
    revoked_at: datetime | None = None

    def is_good(self, now: datetime) -> bool:
        """Whether it still lets somebody in."""
        return self.revoked_at is None and self.uses < self.most_uses and now < self.expires_at
