"""The tables. Slots in use are never counted here: they are the sum over the containers of holding sessions."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata: Final = MetaData()

_Id: Final = Text(collation="C")
_Time: Final = DateTime(timezone=True)
_Json: Final = JSONB(none_as_null=True)  # None is no value at all, not the null of JSON

LIVE: Final = "state IN ('pending', 'scheduled', 'preparing', 'running', 'terminating')"
HOLDING: Final = "state IN ('scheduled', 'preparing', 'running', 'terminating')"
ALIVE: Final = "state IN ('planned', 'running')"  # of a container
LIMITED: Final = "state = 'running' AND max_seconds IS NOT NULL"

policies: Final = Table(
    "policies",
    metadata,
    Column("name", Text, primary_key=True),
    Column("limits", _Json, nullable=False),  # see domain.limits
    Column("created_at", _Time, nullable=False),
)


def _policy(table: str, column: str) -> Column[str]:
    return Column(column, Text, ForeignKey("policies.name", name=f"{table}_{column}"))


domains: Final = Table(
    "domains",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("title", Text, nullable=False, server_default=""),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("created_at", _Time, nullable=False),
    _policy("domains", "policy"),  # of all in it together
    _policy("domains", "user_policy"),  # of every user of it who has none
    UniqueConstraint("name", name="domains_name"),
)

projects: Final = Table(
    "projects",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("domain_id", _Id, ForeignKey("domains.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("title", Text, nullable=False, server_default=""),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("created_at", _Time, nullable=False),
    _policy("projects", "policy"),  # of all in it together
    _policy("projects", "member_policy"),  # of each in it, for what is in it
    Column("budget", _Json),  # see domain.usage.Budget; null: none
    UniqueConstraint("domain_id", "name", name="projects_name"),
)

users: Final = Table(
    "users",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("deleted_at", _Time),  # the row goes when nothing of its sessions is left
    Column("domain_id", _Id, ForeignKey("domains.id", name="users_domain"), nullable=False),
    Column("email", Text),
    Column("full_name", Text, nullable=False, server_default=""),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    _policy("users", "policy"),
    Column("password", Text),  # Argon2id; null: none
    Column("must_change_password", Boolean, nullable=False, server_default=text("false")),
    Column("totp", Text),  # sealed secret of the authenticator app; null: no second factor
    Column("totp_step", BigInteger),  # of the last code used, which is good once
    # Who they are in another system: the name under which it is set up, and what they are called there for ever.
    Column("source", Text),
    Column("subject", Text),
    # Of a robot, which acts for a project by the project's tokens and goes with it. Null: a person.
    Column("robot_of", _Id, ForeignKey("projects.id", name="users_robot_of")),
    Column("last_sign_in_at", _Time),
    CheckConstraint("role IN ('admin', 'domain_admin', 'user')", name="users_role"),
    Index("users_identity", "source", "subject", unique=True, postgresql_where=text("source IS NOT NULL")),
    Index("users_of_domain", "domain_id", "name"),
    Index("users_deleted", "id", postgresql_where=text("deleted_at IS NOT NULL")),
)

memberships: Final = Table(
    "memberships",
    metadata,
    Column("project_id", _Id, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", _Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("role", Text, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("expires_at", _Time),  # then it counts no more
    Column("source", Text),  # that gave it by a rule, and takes it back when the rule says no more; null: by hand
    CheckConstraint("role IN ('owner', 'maintainer', 'member', 'viewer')", name="memberships_role"),
    Index("memberships_user", "user_id"),
)

tokens: Final = Table(
    "tokens",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("user_id", _Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of the token
    Column("label", Text, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("expires_at", _Time),
    Column("revoked_at", _Time),
    Column("scopes", _Json),  # that it is limited to; null: whatever its user may do
    Column("last_used_at", _Time),
    Column("kind", Text, nullable=False, server_default="token"),  # browser: it comes as a cookie
    CheckConstraint("kind IN ('token', 'browser')", name="tokens_kind"),
    Index("tokens_user", "user_id", "id"),
)

resource_groups: Final = Table(
    "resource_groups",
    metadata,
    Column("name", Text, primary_key=True),
    Column("policy", _Json, nullable=False),  # schemas.api.GroupPolicy; what is absent has its default
    Column("created_at", _Time, nullable=False),
    Column("access", _Json),  # who may use it: {domains, projects, users}; null: everybody
)

nodes: Final = Table(
    "nodes",
    metadata,
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("slots", _Json, nullable=False),
    Column("environments", _Json, nullable=False),  # names
    Column("report", _Json, nullable=False),
    Column("last_seen_at", _Time, nullable=False),
    Column(
        "resource_group",
        Text,
        ForeignKey("resource_groups.name", name="nodes_resource_group"),
        nullable=False,
        server_default="default",
    ),
    CheckConstraint("state IN ('ready', 'unreachable')", name="nodes_state"),
)

uploads: Final = Table(
    "uploads",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("owner_id", _Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", _Time, nullable=False, index=True),
)

sessions: Final = Table(
    "sessions",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("owner_id", _Id, ForeignKey("users.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("command", _Json, nullable=False),
    Column("variables", _Json, nullable=False),
    Column("slots", _Json, nullable=False),
    Column("processes", Integer, nullable=False),
    Column("network", Text, nullable=False),
    # Set until the archive is unpacked: the reference is what keeps the upload.
    Column("upload_id", _Id, ForeignKey("uploads.id")),
    Column("stop_requested_at", _Time),
    Column("stop_grace_seconds", Float, nullable=False, server_default=text("10")),
    Column("created_at", _Time, nullable=False),
    Column("started_at", _Time),
    Column("ended_at", _Time),
    Column("deleted_at", _Time),
    Column("resource_group", Text, nullable=False, server_default="default"),
    Column("models", _Json, nullable=False, server_default=text("'[]'")),  # of devices; empty: any
    Column("size", Integer, nullable=False, server_default=text("1")),  # containers
    Column("layout", Text, nullable=False, server_default="any"),
    Column("priority", Integer, nullable=False, server_default=text("0")),
    Column("start_at", _Time),  # not before
    Column("max_seconds", Float),  # of running
    Column("deadline", _Time),
    Column("preemptible", Boolean, nullable=False, server_default=text("false")),
    Column("reservation", Text),  # name of one whose room it may use
    # Why it waits, for machines; `reason` is the same as a sentence. Null once it has been given its nodes.
    Column("waiting", _Json),
    Column("requeues", Integer, nullable=False, server_default=text("0")),  # how often it gave way
    Column("stop_reason", Text, nullable=False, server_default=""),
    Column("preempted_for", _Id),  # the session it gave way to, until it has its nodes anew
    Column("held_since", _Time),  # while it holds room: since when, for the reckoning of usage
    Column("project_id", _Id, ForeignKey("projects.id", name="sessions_project"), nullable=False),
    CheckConstraint("stop_reason IN ('', 'user', 'time', 'preempted', 'budget')", name="sessions_stop_reason"),
    Index("sessions_live_name", "owner_id", "name", unique=True, postgresql_where=text(LIVE)),
    Index("sessions_owner", "owner_id", "id"),
    Index("sessions_of_project", "project_id", "id"),
    Index("sessions_name", "name", "id"),
    Index("sessions_pending", "created_at", "id", postgresql_where=text("state = 'pending'")),
    Index("sessions_holding", "id", postgresql_where=text(HOLDING)),
    Index("sessions_limited", "started_at", postgresql_where=text(LIMITED)),
    Index("sessions_deleted", "id", postgresql_where=text("deleted_at IS NOT NULL")),
    Index("sessions_upload", "upload_id", postgresql_where=text("upload_id IS NOT NULL")),
)

containers: Final = Table(
    "containers",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("session_id", _Id, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("role", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("node", Text, nullable=False),
    Column("epoch", Integer, nullable=False),  # counts launches; fixed when the session is scheduled
    Column("state", Text, nullable=False),
    Column("slots", _Json, nullable=False),  # all it holds; shares and whole devices as slots, too
    Column("devices", _Json, nullable=False, server_default=text("'[]'")),  # of {kind, index, milli}
    Column("started_at", _Time),
    Column("ended_at", _Time),
    Column("exit_reason", Text),
    Column("exit_code", Integer),
    Column("exit_signal", Integer),
    Column("exit_message", Text),
    UniqueConstraint("session_id", "role", "position", name="containers_place"),
    CheckConstraint("role IN ('main', 'sub')", name="containers_role"),
    Index("containers_ended", "ended_at", postgresql_where=text("state = 'ended'")),
    Index("containers_node", "node", postgresql_where=text("state <> 'removed'")),
    Index("containers_alive", "node", postgresql_where=text(ALIVE)),
)

session_shares: Final = Table(
    "session_shares",
    metadata,
    Column("session_id", _Id, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", _Id, ForeignKey("users.id", ondelete="CASCADE")),
    Column("project_id", _Id, ForeignKey("projects.id", ondelete="CASCADE")),
    Column("level", Text, nullable=False),
    Column("created_at", _Time, nullable=False),
    CheckConstraint("level IN ('view', 'use')", name="session_shares_level"),
    CheckConstraint("(user_id IS NULL) <> (project_id IS NULL)", name="session_shares_with"),
    Index("session_shares_user", "user_id", "session_id", unique=True, postgresql_where=text("user_id IS NOT NULL")),
    Index(
        "session_shares_project",
        "project_id",
        "session_id",
        unique=True,
        postgresql_where=text("project_id IS NOT NULL"),
    ),
    Index("session_shares_session", "session_id"),
)

session_dependencies: Final = Table(
    "session_dependencies",
    metadata,
    Column("session_id", _Id, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("on_session_id", _Id, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("ok", Boolean, nullable=False),  # whether that session has to succeed, not only to end
    Index("session_dependencies_on", "on_session_id"),
)

reservations: Final = Table(
    "reservations",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("resource_group", Text, ForeignKey("resource_groups.name", ondelete="CASCADE"), nullable=False),
    Column("slots", _Json, nullable=False),
    Column("devices", _Json),  # {kind, count, models}
    Column("users", _Json, nullable=False),  # names
    Column("schedule", _Json, nullable=False),
    Column("created_by", _Id, ForeignKey("users.id"), nullable=False),
    Column("created_at", _Time, nullable=False),
)

usage: Final = Table(
    "usage",
    metadata,
    Column("resource_group", Text, ForeignKey("resource_groups.name", ondelete="CASCADE"), primary_key=True),
    Column("user_id", _Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("slots", _Json, nullable=False),  # slot to slot-seconds, decayed until `as_of`
    Column("as_of", _Time, nullable=False),
    Column("half_life_seconds", Float, nullable=False),
)

spans: Final = Table(
    "spans",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    # No foreign keys: what was used stays when its session, user or project is gone.
    Column("session_id", _Id, nullable=False),
    Column("session", Text, nullable=False),
    Column("user_id", _Id, nullable=False),
    Column("user_name", Text, nullable=False),
    Column("project_id", _Id, nullable=False),
    Column("project", Text, nullable=False),  # its path
    Column("domain_id", _Id, nullable=False),
    Column("domain", Text, nullable=False),
    Column("resource_group", Text, nullable=False),
    Column("slots", _Json, nullable=False),  # of all containers, without devices
    Column("devices", _Json, nullable=False),  # of [kind, model, thousandths]
    Column("since", _Time, nullable=False),
    Column("until", _Time, nullable=False),
    Index("spans_until", "until"),
    Index("spans_user", "user_id", "until"),
    Index("spans_project", "project_id", "until"),
)

leaders: Final = Table(
    "leaders",
    metadata,
    Column("name", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),  # of the newest leader: decisions of older ones are refused
)

events: Final = Table(
    "events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    # The writing transaction: readers wait until all up to it have ended, so that none is skipped.
    Column("xid", BigInteger, nullable=False, server_default=text("(pg_current_xact_id()::text::bigint)")),
    Column("at", _Time, nullable=False),
    Column("kind", Text, nullable=False),
    Column("session_id", _Id),
    Column("owner_id", _Id),
    Column("data", _Json, nullable=False),
    Index("events_order", "xid", "id"),
    Index("events_session", "session_id", "xid", "id"),
    Index("events_owner", "owner_id", "xid", "id"),
)

audit: Final = Table(  # rows are only added: see the trigger in migration 0004
    "audit",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", _Time, nullable=False),
    Column("actor_id", _Id, nullable=False),  # no foreign key: it stays when the account is deleted
    Column("actor", Text, nullable=False),
    Column("credential", Text, nullable=False),  # the id of the token, or how else somebody came in
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target_id", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("domain_id", _Id),  # null: of the whole site
    Column("before", _Json),
    Column("after", _Json),
    Index("audit_at", "at"),
    Index("audit_actor", "actor_id", "id"),
    Index("audit_target", "target_id", "id"),
    Index("audit_domain", "domain_id", "id"),
)

idempotency_keys: Final = Table(
    "idempotency_keys",
    metadata,
    Column("owner_id", _Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of the request
    Column("session_id", _Id, nullable=False),
    Column("created_at", _Time, nullable=False, index=True),
)
