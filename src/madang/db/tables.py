"""The tables. Slots in use are never counted here: they are the sum over the containers of holding sessions."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
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

LIVE: Final = "state IN ('pending', 'scheduled', 'preparing', 'running', 'terminating')"
HOLDING: Final = "state IN ('scheduled', 'preparing', 'running', 'terminating')"

users: Final = Table(
    "users",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("created_at", _Time, nullable=False),
    CheckConstraint("role IN ('admin', 'user')", name="users_role"),
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
)

nodes: Final = Table(
    "nodes",
    metadata,
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("slots", JSONB, nullable=False),
    Column("environments", JSONB, nullable=False),  # names
    Column("report", JSONB, nullable=False),
    Column("last_seen_at", _Time, nullable=False),
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
    Column("command", JSONB, nullable=False),
    Column("variables", JSONB, nullable=False),
    Column("slots", JSONB, nullable=False),
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
    Index("sessions_live_name", "owner_id", "name", unique=True, postgresql_where=text(LIVE)),
    Index("sessions_owner", "owner_id", "id"),
    Index("sessions_name", "name", "id"),
    Index("sessions_pending", "created_at", "id", postgresql_where=text("state = 'pending'")),
    Index("sessions_holding", "id", postgresql_where=text(HOLDING)),
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
    Column("slots", JSONB, nullable=False),
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
    Column("data", JSONB, nullable=False),
    Index("events_order", "xid", "id"),
    Index("events_session", "session_id", "xid", "id"),
    Index("events_owner", "owner_id", "xid", "id"),
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
