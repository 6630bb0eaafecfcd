"""Resource groups with their queues, gangs, devices, dependencies, reservations, usage and leadership."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.Text(collation="C")
_JSON = postgresql.JSONB(astext_type=sa.Text())
_TIME = sa.DateTime(timezone=True)
_ALIVE = "state IN ('planned', 'running')"
_LIMITED = "state = 'running' AND max_seconds IS NOT NULL"


def upgrade() -> None:
    op.create_table(
        "resource_groups",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("policy", _JSON, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.execute("INSERT INTO resource_groups (name, policy, created_at) VALUES ('default', '{}', now())")
    op.add_column("nodes", sa.Column("resource_group", sa.Text(), server_default="default", nullable=False))
    op.create_foreign_key("nodes_resource_group", "nodes", "resource_groups", ["resource_group"], ["name"])
    _extend_sessions()
    op.add_column("containers", sa.Column("devices", _JSON, server_default=sa.text("'[]'"), nullable=False))
    op.create_index("containers_alive", "containers", ["node"], unique=False, postgresql_where=sa.text(_ALIVE))
    op.create_table(
        "session_dependencies",
        sa.Column("session_id", _ID, nullable=False),
        sa.Column("on_session_id", _ID, nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["on_session_id"], ["sessions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("session_id", "on_session_id"),
    )
    op.create_index("session_dependencies_on", "session_dependencies", ["on_session_id"], unique=False)
    op.create_table(
        "reservations",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("resource_group", sa.Text(), nullable=False),
        sa.Column("slots", _JSON, nullable=False),
        sa.Column("devices", _JSON, nullable=True),
        sa.Column("users", _JSON, nullable=False),
        sa.Column("schedule", _JSON, nullable=False),
        sa.Column("created_by", _ID, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["resource_group"], ["resource_groups.name"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "usage",
        sa.Column("resource_group", sa.Text(), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("slots", _JSON, nullable=False),
        sa.Column("as_of", _TIME, nullable=False),
        sa.Column("half_life_seconds", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["resource_group"], ["resource_groups.name"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("resource_group", "user_id"),
    )
    op.create_table(
        "leaders",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _extend_sessions() -> None:
    for column in (
        sa.Column("resource_group", sa.Text(), server_default="default", nullable=False),
        sa.Column("models", _JSON, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("size", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("layout", sa.Text(), server_default="any", nullable=False),
        sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("start_at", _TIME, nullable=True),
        sa.Column("max_seconds", sa.Float(), nullable=True),
        sa.Column("deadline", _TIME, nullable=True),
        sa.Column("preemptible", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("reservation", sa.Text(), nullable=True),
        sa.Column("waiting", _JSON, nullable=True),
        sa.Column("requeues", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("stop_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("preempted_for", _ID, nullable=True),
        sa.Column("held_since", _TIME, nullable=True),
    ):
        op.add_column("sessions", column)
    # What was made before answers as a new request with nothing said would.
    op.execute("UPDATE sessions SET preemptible = (kind = 'batch')")
    op.execute(
        "UPDATE sessions SET held_since = coalesce(started_at, created_at) "
        "WHERE state IN ('scheduled', 'preparing', 'running', 'terminating')"
    )
    op.execute("UPDATE sessions SET stop_reason = 'user' WHERE stop_requested_at IS NOT NULL")
    op.create_check_constraint("sessions_stop_reason", "sessions", "stop_reason IN ('', 'user', 'time', 'preempted')")
    op.create_index("sessions_limited", "sessions", ["started_at"], unique=False, postgresql_where=sa.text(_LIMITED))


def downgrade() -> None:
    for table in ("leaders", "usage", "reservations", "session_dependencies"):
        op.drop_table(table)
    op.drop_index("containers_alive", table_name="containers", postgresql_where=sa.text(_ALIVE))
    op.drop_column("containers", "devices")
    op.drop_index("sessions_limited", table_name="sessions", postgresql_where=sa.text(_LIMITED))
    op.drop_constraint("sessions_stop_reason", "sessions")
    for column in (
        "resource_group",
        "models",
        "size",
        "layout",
        "priority",
        "start_at",
        "max_seconds",
        "deadline",
        "preemptible",
        "reservation",
        "waiting",
        "requeues",
        "stop_reason",
        "preempted_for",
        "held_since",
    ):
        op.drop_column("sessions", column)
    op.drop_constraint("nodes_resource_group", "nodes")
    op.drop_column("nodes", "resource_group")
    op.drop_table("resource_groups")
