"""Wire models of domains, projects, users, memberships, and of sharing a session."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from madang.domain.names import USER_PATTERN
from madang.domain.people import ProjectRole, Role, ShareLevel
from madang.schemas.api import Id, Name, ProjectPath
from madang.schemas.base import Wire

AccountName = Annotated[str, Field(pattern=USER_PATTERN)]
Title = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f]*$")]
Email = Annotated[str, Field(max_length=254, pattern=r"^([^@\s\x00]+@[^@\s\x00]+)?$")]  # empty: none

OwnedSessions = Literal["refuse", "stop-and-delete"]
"""What becomes of the sessions of somebody who is deleted."""


class Domain(Wire):
    """An organisation."""

    id: Id
    name: str
    title: str
    active: bool  # else nobody of it can sign in, and its projects are closed
    projects: int
    users: int
    created_at: datetime


class DomainCreate(Wire):
    """A domain to make; it gets a project `default`, which its users join."""

    name: Name
    title: Title = ""


class DomainUpdate(Wire):
    """What may be changed of a domain; null leaves it as it is."""

    title: Title | None = None
    active: bool | None = None


class Project(Wire):
    """A team of a domain."""

    id: Id
    project: str  # its path: its name, after the domain and a slash unless that is the default one
    domain: str
    name: str
    title: str
    active: bool  # else nobody can do anything in it; its sessions go on
    members: int
    created_at: datetime


class ProjectCreate(Wire):
    """A project to make."""

    name: Name
    title: Title = ""
    owner: AccountName | None = None  # null: who makes it


class ProjectUpdate(Wire):
    """What may be changed of a project; null leaves it as it is. Only administrators close and open it."""

    title: Title | None = None
    active: bool | None = None


class Member(Wire):
    """Somebody in a project."""

    user: str
    full_name: str
    project: str  # its path
    role: ProjectRole
    created_at: datetime
    expires_at: datetime | None  # then it counts no more


class MemberUpdate(Wire):
    """What somebody shall be in a project, and until when."""

    role: ProjectRole = ProjectRole.MEMBER
    expires_at: AwareDatetime | None = None


class UserProject(Wire):
    """A project that somebody is in."""

    project: str
    role: ProjectRole
    expires_at: datetime | None


class User(Wire):
    """An account."""

    id: Id
    name: str
    full_name: str
    email: str  # empty when it is not known
    role: Role
    domain: str
    active: bool
    robot: bool = False  # of a project's token
    source: str = ""  # the other system that it signs in with; empty: here
    projects: list[UserProject]  # as far as the caller may see them
    created_at: datetime


class UserCreate(Wire):
    """An account to make."""

    name: AccountName
    full_name: Title = ""
    email: Email = ""
    role: Role = "user"
    domain: Name | None = None  # null: that of who makes it
    projects: list[ProjectPath] | None = Field(default=None, max_length=100)  # as member; null: the domain's default


class UserUpdate(Wire):
    """What may be changed of an account; null leaves it as it is."""

    full_name: Title | None = None
    email: Email | None = None
    role: Role | None = None
    active: bool | None = None
    domain: Name | None = None  # for administrators; who administered the old one is a user in the new one
    # For administrators: who it is in another system, and signs in as from now on. Empty texts: nobody there any more.
    source: Annotated[str, Field(max_length=40)] | None = None
    subject: Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x1f]*$")] | None = None


class ShareUpdate(Wire):
    """With whom a session is shared, a user or a project, and how far."""

    user: AccountName | None = None
    project: ProjectPath | None = None
    level: ShareLevel = "view"


class Share(Wire):
    """With whom a session is shared: a user or a project."""

    user: str | None
    project: str | None
    level: ShareLevel  # view: its output and files; use: also run processes in it and change its files
    created_at: datetime
