"""Domains, projects and memberships; sessions belong to projects and can be shared; tokens have scopes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.Text(collation="C")
_JSON = postgresql.JSONB(astext_type=sa.Text())
_TIME = sa.DateTime(timezone=True)
_DOMAIN = "00000000000000000000000001"
_PROJECT = "00000000000000000000000002"


def upgrade() -> None:
    op.create_table(
        "domains",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", name="domains_name"),
    )
    op.create_table(
        "projects",
        sa.Column("id", _ID, nullable=False),
        sa.Column("domain_id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["domains.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("domain_id", "name", name="projects_name"),
    )
    first = sa.table("domains", sa.column("id"), sa.column("name"), sa.column("created_at"))
    op.execute(first.insert().values(id=_DOMAIN, name="default", created_at=sa.func.now()))
    project = sa.table("projects", sa.column("id"), sa.column("domain_id"), sa.column("name"), sa.column("created_at"))
    op.execute(project.insert().values(id=_PROJECT, domain_id=_DOMAIN, name="default", created_at=sa.func.now()))
    _extend_users()
    op.create_table(
        "memberships",
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.CheckConstraint("role IN ('owner', 'maintainer', 'member', 'viewer')", name="memberships_role"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "user_id"),
    )
    op.create_index("memberships_user", "memberships", ["user_id"], unique=False)
    # There is one project so far.
    op.execute(
        "INSERT INTO memberships (project_id, user_id, role, created_at) "
        "SELECT p.id, u.id, CASE u.role WHEN 'admin' THEN 'owner' ELSE 'member' END, u.created_at "
        "FROM users u CROSS JOIN projects p"
    )
    op.add_column("sessions", sa.Column("project_id", _ID, nullable=True))
    op.execute("UPDATE sessions SET project_id = (SELECT id FROM projects)")
    op.alter_column("sessions", "project_id", nullable=False)
    op.create_foreign_key("sessions_project", "sessions", "projects", ["project_id"], ["id"])
    op.create_index("sessions_of_project", "sessions", ["project_id", "id"], unique=False)
    op.create_table(
        "session_shares",
        sa.Column("session_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=True),
        sa.Column("project_id", _ID, nullable=True),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.CheckConstraint("level IN ('view', 'use')", name="session_shares_level"),
        sa.CheckConstraint("(user_id IS NULL) <> (project_id IS NULL)", name="session_shares_with"),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
    )
    for column in ("user_id", "project_id"):
        op.create_index(
            f"session_shares_{column[:-3]}",
            "session_shares",
            [column, "session_id"],
            unique=True,
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )
    op.create_index("session_shares_session", "session_shares", ["session_id"], unique=False)
    op.add_column("tokens", sa.Column("scopes", _JSON, nullable=True))
    op.add_column("tokens", sa.Column("last_used_at", _TIME, nullable=True))


def _extend_users() -> None:
    for column in (
        sa.Column("domain_id", _ID, server_default=_DOMAIN, nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("full_name", sa.Text(), server_default="", nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("deleted_at", _TIME, nullable=True),
    ):
        op.add_column("users", column)
    op.alter_column("users", "domain_id", server_default=None)
    op.create_foreign_key("users_domain", "users", "domains", ["domain_id"], ["id"])
    op.create_index("users_of_domain", "users", ["domain_id", "name"], unique=False)
    op.create_index("users_deleted", "users", ["id"], unique=False, postgresql_where=sa.text("deleted_at IS NOT NULL"))
    op.drop_constraint("users_role", "users")
    op.create_check_constraint("users_role", "users", "role IN ('admin', 'domain_admin', 'user')")


def downgrade() -> None:
    op.drop_column("tokens", "last_used_at")
    op.drop_column("tokens", "scopes")
    op.drop_table("session_shares")
    op.drop_index("sessions_of_project", table_name="sessions")
    op.drop_constraint("sessions_project", "sessions")
    op.drop_column("sessions", "project_id")
    op.drop_table("memberships")
    op.execute("UPDATE users SET role = 'user' WHERE role = 'domain_admin'")
    op.drop_constraint("users_role", "users")
    op.create_check_constraint("users_role", "users", "role IN ('admin', 'user')")
    op.drop_index("users_deleted", table_name="users")
    op.drop_index("users_of_domain", table_name="users")
    op.drop_constraint("users_domain", "users")
    for column in ("domain_id", "email", "full_name", "active", "deleted_at"):
        op.drop_column("users", column)
    op.drop_table("projects")
    op.drop_table("domains")
