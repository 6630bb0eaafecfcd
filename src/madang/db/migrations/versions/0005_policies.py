"""Policies: limits with a name, laid on users, projects and domains."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_HOLDERS = (
    ("users", "policy"),
    ("projects", "policy"),
    ("projects", "member_policy"),
    ("domains", "policy"),
    ("domains", "user_policy"),
)


def upgrade() -> None:
    op.create_table(
        "policies",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("limits", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    for table, column in _HOLDERS:
        op.add_column(table, sa.Column(column, sa.Text(), nullable=True))
        op.create_foreign_key(f"{table}_{column}", table, "policies", [column], ["name"])


def downgrade() -> None:
    for table, column in reversed(_HOLDERS):
        op.drop_constraint(f"{table}_{column}", table)
        op.drop_column(table, column)
    op.drop_table("policies")
