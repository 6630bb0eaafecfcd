"""Wire models of invitations into projects, and of importing a table of users."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from madang.domain.people import ProjectRole
from madang.schemas.api import Id
from madang.schemas.base import Wire
from madang.schemas.people import AccountName, Email, Title

Link = Annotated[str, Field(min_length=1, max_length=2048)]


class InvitationCreate(Wire):
    """An invitation to make. Who accepts it is in the project, until `member_until` if that is given."""

    role: ProjectRole = ProjectRole.MEMBER
    expires_at: AwareDatetime | None = None  # null: in 7 days; at most in 90
    most_uses: int = Field(default=1, ge=1, le=1000)
    member_until: AwareDatetime | None = None
    email: Email = ""  # where to send it


class Invitation(Wire):
    """An invitation that is good."""

    id: Id
    project: str  # its path
    role: ProjectRole
    email: str  # where it was to be sent; empty: nowhere
    uses: int
    most_uses: int
    member_until: datetime | None  # who accepts it is in the project until then
    created_at: datetime
    expires_at: datetime


class NewInvitation(Invitation):
    """An invitation, with what cannot be seen again."""

    link: str
    sent: bool  # by e-mail


class InvitationAccept(Wire):
    """An invitation to accept."""

    link: Link  # or the secret at its end


class InvitationSignUp(Wire):
    """An invitation to accept by somebody without an account, and the account to make."""

    link: Link  # or the secret at its end
    name: AccountName
    password: str = Field(max_length=4096, repr=False)
    full_name: Title = ""
    email: Email = ""  # empty: where the invitation was sent, if it was
    label: str = Field(default="", max_length=80)  # of the token


Existing = Literal["refuse", "join"]
"""What becomes of rows with an account that is there already: a mistake, or it joins the project of its row."""


class ImportedUser(Wire):
    """One row of an imported table."""

    line: int
    name: str
    full_name: str
    project: str  # its path
    role: ProjectRole  # there
    policy: str  # empty: none of its own
    existing: bool  # the account was there; it has only joined the project
    password: str = Field(default="", repr=False)  # one that was made up; it is shown only here
    link: str = Field(default="", repr=False)  # to choose a password, where none could be sent; shown only here
    sent: str = ""  # the address that such a link was sent to


class Import(Wire):
    """What importing a table has done, or would do, in the order of the table."""

    dry_run: bool
    domain: str
    users: list[ImportedUser]
