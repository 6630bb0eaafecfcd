"""What sessions held, and from when to when: it stays when they are deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_ID = sa.Text(collation="C")
_JSON = postgresql.JSONB(astext_type=sa.Text())
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "spans",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("session_id", _ID, nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("domain_id", _ID, nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("resource_group", sa.Text(), nullable=False),
        sa.Column("slots", _JSON, nullable=False),
        sa.Column("devices", _JSON, nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("spans_until", "spans", ["until"], unique=False)
    op.create_index("spans_user", "spans", ["user_id", "until"], unique=False)
    op.create_index("spans_project", "spans", ["project_id", "until"], unique=False)


def downgrade() -> None:
    op.drop_table("spans")
