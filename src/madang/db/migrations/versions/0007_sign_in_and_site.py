"""How people come in: passwords, second factors, links, signing keys; and what is said and set for the whole site."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ID = sa.Text(collation="C")
_JSON = postgresql.JSONB(astext_type=sa.Text())
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "announcements",
        sa.Column("id", _ID, nullable=False),
        sa.Column("message", _JSON, nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("until", _TIME),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.CheckConstraint("level IN ('info', 'warning')", name="announcements_level"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "seen_signatures",
        sa.Column("mark", sa.LargeBinary(), nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("mark"),
    )
    op.create_index("seen_signatures_until", "seen_signatures", ["until"], unique=False)
    op.create_table(
        "sign_in_attempts",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("count", sa.Float(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("sign_in_attempts_at", "sign_in_attempts", ["at"], unique=False)
    op.create_table(
        "site_settings",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", _JSON, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "month_totals",
        sa.Column("since", _TIME, nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("domain_id", _ID, nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.PrimaryKeyConstraint("since", "project_id", "user_id", "kind", "name"),
    )
    op.create_index("month_totals_user", "month_totals", ["since", "user_id"], unique=False)
    op.create_index("month_totals_domain", "month_totals", ["since", "domain_id"], unique=False)
    op.create_table(
        "closures",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("holder_id", _ID, nullable=False),
        sa.Column("member_of", _ID, nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("values", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("kind", "holder_id", "member_of", "cause"),
    )
    op.create_table(
        "budget_notices",
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project_id", "since", "standing"),
    )
    # It is there from the beginning, so that who writes what was held can hold on to it.
    op.execute("""INSERT INTO site_settings VALUES ('prices', '{"timezone": "UTC", "tables": {}}', now())""")
    op.create_table(
        "presets",
        sa.Column("resource_group", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("slots", _JSON, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["resource_group"], ["resource_groups.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("resource_group", "name"),
    )
    op.create_table(
        "links",
        sa.Column("id", _ID, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user_id", _ID),
        sa.Column("project_id", _ID),
        sa.Column("role", sa.Text()),
        sa.Column("member_until", _TIME),
        sa.Column("email", sa.Text()),
        sa.Column("data", _JSON),
        sa.Column("most_uses", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("uses", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_by", _ID, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME),
        sa.CheckConstraint("kind IN ('password', 'invitation', 'sign_up')", name="links_kind"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("links_expires", "links", ["expires_at"], unique=False)
    op.create_index("links_project", "links", ["project_id", "id"], unique=False)
    op.create_index("links_user", "links", ["user_id"], unique=False)
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "digest"),
    )
    op.create_table(
        "signing_keys",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("scopes", _JSON),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME),
        sa.Column("revoked_at", _TIME),
        sa.Column("last_used_at", _TIME),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("signing_keys_user", "signing_keys", ["user_id"], unique=False)
    op.drop_constraint("sessions_stop_reason", "sessions")
    op.create_check_constraint(
        "sessions_stop_reason", "sessions", "stop_reason IN ('', 'user', 'time', 'preempted', 'budget')"
    )
    op.add_column("projects", sa.Column("budget", _JSON))
    op.add_column("resource_groups", sa.Column("access", _JSON))
    op.add_column("tokens", sa.Column("kind", sa.Text(), server_default="token", nullable=False))
    op.create_index("tokens_user", "tokens", ["user_id", "id"], unique=False)
    op.add_column("memberships", sa.Column("source", sa.Text()))
    op.add_column("users", sa.Column("password", sa.Text()))
    op.add_column(
        "users", sa.Column("must_change_password", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("users", sa.Column("totp", sa.Text()))
    op.add_column("users", sa.Column("totp_step", sa.BigInteger()))
    op.add_column("users", sa.Column("source", sa.Text()))
    op.add_column("users", sa.Column("subject", sa.Text()))
    op.add_column("users", sa.Column("robot_of", _ID))
    op.add_column("users", sa.Column("last_sign_in_at", _TIME))
    op.create_index(
        "users_identity", "users", ["source", "subject"], unique=True, postgresql_where=sa.text("source IS NOT NULL")
    )
    op.create_foreign_key("users_robot_of", "users", "projects", ["robot_of"], ["id"])
    op.create_check_constraint("tokens_kind", "tokens", "kind IN ('token', 'browser')")


def downgrade() -> None:
    op.drop_constraint("users_robot_of", "users", type_="foreignkey")
    op.drop_index("users_identity", table_name="users", postgresql_where=sa.text("source IS NOT NULL"))
    op.drop_column("users", "last_sign_in_at")
    op.drop_column("users", "robot_of")
    op.drop_column("users", "subject")
    op.drop_column("users", "source")
    op.drop_column("users", "totp_step")
    op.drop_column("users", "totp")
    op.drop_column("users", "must_change_password")
    op.drop_column("users", "password")
    op.drop_index("tokens_user", table_name="tokens")
    op.drop_column("tokens", "kind")
    op.drop_column("resource_groups", "access")
    op.drop_column("projects", "budget")
    op.drop_index("signing_keys_user", table_name="signing_keys")
    op.drop_table("signing_keys")
    op.drop_table("recovery_codes")
    op.drop_index("links_user", table_name="links")
    op.drop_index("links_project", table_name="links")
    op.drop_index("links_expires", table_name="links")
    op.drop_table("links")
    op.execute("UPDATE sessions SET stop_reason = 'user' WHERE stop_reason = 'budget'")
    op.drop_constraint("sessions_stop_reason", "sessions")
    op.create_check_constraint("sessions_stop_reason", "sessions", "stop_reason IN ('', 'user', 'time', 'preempted')")
    op.drop_table("budget_notices")
    op.drop_table("closures")
    op.drop_table("month_totals")
    op.drop_table("presets")
    op.drop_table("site_settings")
    op.drop_index("sign_in_attempts_at", table_name="sign_in_attempts")
    op.drop_table("sign_in_attempts")
    op.drop_index("seen_signatures_until", table_name="seen_signatures")
    op.drop_table("seen_signatures")
    op.drop_table("announcements")
