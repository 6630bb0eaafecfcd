"""The tables of how people come in, and of what is said and set for the whole site."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from madang.db.tables import metadata

_Id: Final = Text(collation="C")
_Time: Final = DateTime(timezone=True)
_Json: Final = JSONB(none_as_null=True)  # None is no value at all, not the null of JSON


def _user() -> Column[str]:
    return Column("user_id", _Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False)


recovery_codes: Final = Table(  # for who has lost the authenticator app; a row goes when its code is used
    "recovery_codes",
    metadata,
    Column("user_id", _Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", LargeBinary, primary_key=True),  # SHA-256
)

signing_keys: Final = Table(
    "signing_keys",
    metadata,
    Column("id", _Id, primary_key=True),  # mdk_..., no secret
    _user(),
    Column("label", Text, nullable=False),
    Column("sealed", Text, nullable=False),  # the secret, see services.identity.sealed
    Column("scopes", _Json),  # that it is limited to; null: whatever its user may do
    Column("created_at", _Time, nullable=False),
    Column("expires_at", _Time),
    Column("revoked_at", _Time),
    Column("last_used_at", _Time),
    Index("signing_keys_user", "user_id"),
)

seen_signatures: Final = Table(  # each signed request is good once
    "seen_signatures",
    metadata,
    Column("mark", LargeBinary, primary_key=True),
    Column("until", _Time, nullable=False),
    Index("seen_signatures_until", "until"),
)

sign_in_attempts: Final = Table(
    "sign_in_attempts",
    metadata,
    Column("key", Text, primary_key=True),  # a digest: people type passwords where their name belongs
    Column("count", Float, nullable=False),
    Column("at", _Time, nullable=False),
    Index("sign_in_attempts_at", "at"),
)

links: Final = Table(
    "links",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of what the link carries
    Column("kind", Text, nullable=False),
    Column("user_id", _Id, ForeignKey("users.id", ondelete="CASCADE")),  # whose password it sets
    Column("project_id", _Id, ForeignKey("projects.id", ondelete="CASCADE")),  # that it leads into
    Column("role", Text),  # there
    Column("member_until", _Time),  # the membership that it gives ends then
    Column("email", Text),  # where it was sent, if it was
    Column("data", _Json),  # of who signs up: name, full_name and the hash of the password
    Column("most_uses", Integer, nullable=False, server_default=text("1")),
    Column("uses", Integer, nullable=False, server_default=text("0")),
    Column("created_by", _Id, nullable=False),  # no foreign key: it stays when the account is deleted
    Column("created_at", _Time, nullable=False),
    Column("expires_at", _Time, nullable=False),
    Column("revoked_at", _Time),
    CheckConstraint("kind IN ('password', 'invitation', 'sign_up')", name="links_kind"),
    Index("links_project", "project_id", "id"),
    Index("links_user", "user_id"),
    Index("links_expires", "expires_at"),
)

site_settings: Final = Table(
    "site_settings",
    metadata,
    Column("name", Text, primary_key=True),  # prices, maintenance, secret_key (its fingerprint)
    Column("value", _Json, nullable=False),
    Column("changed_at", _Time, nullable=False),
)

announcements: Final = Table(
    "announcements",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("message", _Json, nullable=False),  # text by language
    Column("level", Text, nullable=False),
    Column("since", _Time, nullable=False),
    Column("until", _Time),
    Column("created_at", _Time, nullable=False),
    Column("created_by", Text, nullable=False),  # the name of the account
    CheckConstraint("level IN ('info', 'warning')", name="announcements_level"),
)

presets: Final = Table(
    "presets",
    metadata,
    Column("resource_group", Text, ForeignKey("resource_groups.name", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("title", Text, nullable=False, server_default=""),
    Column("slots", _Json, nullable=False),  # as people name them, of one container
    Column("created_at", _Time, nullable=False),
)

# What was held within months by a project's user: spans that are over, added up when they are written.
month_totals: Final = Table(
    "month_totals",
    metadata,
    Column("since", _Time, primary_key=True),  # when the month begins
    Column("project_id", _Id, primary_key=True),  # no foreign keys: what was used stays
    Column("user_id", _Id, primary_key=True),
    Column("kind", Text, primary_key=True),  # of devices; empty: a slot
    Column("name", Text, primary_key=True),  # the model, or the slot
    Column("domain_id", _Id, nullable=False),
    Column("amount", Numeric, nullable=False),  # base units, or thousandths of devices, times microseconds
    Index("month_totals_user", "since", "user_id"),
    Index("month_totals_domain", "since", "domain_id"),
)

closures: Final = Table(  # whose waiting sessions may not start for now; written by the meter
    "closures",
    metadata,
    Column("kind", Text, primary_key=True),  # user, member, project, domain
    Column("holder_id", _Id, primary_key=True),
    Column("member_of", _Id, primary_key=True),  # the project, for `member`
    Column("cause", Text, primary_key=True),  # a code of domain.why: budget, gpu_hours
    Column("values", _Json, nullable=False),
)

budget_notices: Final = Table(  # what was told already of a budget
    "budget_notices",
    metadata,
    Column("project_id", _Id, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("since", _Time, primary_key=True),  # when the month begins
    Column("standing", Text, primary_key=True),
)
