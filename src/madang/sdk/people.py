"""Domains, projects, users, and sharing, asynchronously. A project is named by its path: `[domain/]name`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote

from madang.domain.people import ProjectRole, Role, ShareLevel, split_path
from madang.schemas.api import Page
from madang.schemas.base import Wire
from madang.schemas.invitations import Existing, Import
from madang.schemas.people import (
    Domain,
    DomainCreate,
    DomainUpdate,
    Member,
    MemberUpdate,
    OwnedSessions,
    Project,
    ProjectCreate,
    ProjectUpdate,
    Share,
    ShareUpdate,
    User,
    UserCreate,
    UserUpdate,
)
from madang.schemas.sign_in import FirstPassword, Link, PasswordReset
from madang.sdk._transport import API, JSON, M, Method, Transport

_DOMAINS: Final = f"{API}/domains"
_USERS: Final = f"{API}/users"
_CSV: Final = {"Content-Type": "text/csv"}
_IMPORT_SECONDS: Final = 600.0  # passwords are slow to store


async def send(transport: Transport, method: Method, path: str, body: Wire, model: type[M]) -> M:
    """Ask with a message, and read the answer."""
    response = await transport.call(
        method, path, body=body.model_dump_json().encode(), headers=JSON, repeatable=method != "POST"
    )
    return transport.parse(model, response.content)


def project_url(path: str) -> str:
    """Where a project is, of a path."""
    domain, name = split_path(path)
    return f"{_DOMAINS}/{quote(domain, safe='')}/projects/{quote(name, safe='')}"


class AsyncDomains:
    """Organisations on one platform. Errors of all: Forbidden, NotFound."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> list[Domain]:
        """Your own; an administrator sees all."""
        return (await self._transport.get(Page[Domain], _DOMAINS)).items

    async def get(self, name: str) -> Domain:
        """One domain."""
        return await self._transport.get(Domain, f"{_DOMAINS}/{name}")

    async def create(self, name: str, *, title: str = "") -> Domain:
        """Make a domain, with a project `default` that its users will join. Raises NameInUse."""
        return await send(self._transport, "POST", _DOMAINS, DomainCreate(name=name, title=title), Domain)

    async def update(self, name: str, *, title: str | None = None, active: bool | None = None) -> Domain:
        """Change what is given. Raises Conflict when no administrator could sign in any more."""
        body = DomainUpdate(title=title, active=active)
        return await send(self._transport, "PATCH", f"{_DOMAINS}/{name}", body, Domain)

    async def delete(self, name: str) -> None:
        """Delete an empty domain. Raises Conflict."""
        await self._transport.call("DELETE", f"{_DOMAINS}/{name}")


class AsyncProjects:
    """Teams and who is in them. Errors of all: Forbidden, NotFound."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self, domain: str | None = None) -> list[Project]:
        """Those you may see."""
        params = {} if domain is None else {"domain": domain}
        return (await self._transport.get(Page[Project], f"{API}/projects", params)).items

    async def get(self, path: str) -> Project:
        """One project."""
        return await self._transport.get(Project, project_url(path))

    async def create(self, path: str, *, title: str = "", owner: str | None = None) -> Project:
        """Make a project, owned by you unless somebody else is named. Raises NameInUse."""
        domain, name = split_path(path)
        body = ProjectCreate(name=name, title=title, owner=owner)
        return await send(self._transport, "POST", f"{_DOMAINS}/{domain}/projects", body, Project)

    async def update(self, path: str, *, title: str | None = None, active: bool | None = None) -> Project:
        """Change what is given."""
        body = ProjectUpdate(title=title, active=active)
        return await send(self._transport, "PATCH", project_url(path), body, Project)

    async def delete(self, path: str) -> None:
        """Delete a project without sessions. Raises Conflict."""
        await self._transport.call("DELETE", project_url(path))

    async def members(self, path: str) -> Sequence[Member]:
        """Who is in it."""
        return (await self._transport.get(Page[Member], f"{project_url(path)}/members")).items

    async def set_member(
        self, path: str, user: str, role: ProjectRole = ProjectRole.MEMBER, *, expires_at: datetime | None = None
    ) -> Member:
        """Take somebody in, of whatever domain, or change what a member is. Raises Conflict for the last owner."""
        ends = None if expires_at is None else expires_at.astimezone()
        body = MemberUpdate(role=role, expires_at=ends)
        place = f"{project_url(path)}/members/{quote(user, safe='')}"
        return await send(self._transport, "PUT", place, body, Member)

    async def remove_member(self, path: str, user: str) -> None:
        """Let somebody be in it no more. Raises Conflict for the last owner."""
        await self._transport.call("DELETE", f"{project_url(path)}/members/{quote(user, safe='')}")


class AsyncUsers:
    """Accounts. Errors of all: Forbidden, NotFound."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self, domain: str | None = None) -> AsyncIterator[User]:
        """Those you may see, by name, asked for page by page."""
        params: dict[str, str | int] = {} if domain is None else {"domain": domain}
        while True:
            page = await self._transport.get(Page[User], _USERS, params)
            for user in page.items:
                yield user
            if page.next is None:
                return
            params["cursor"] = page.next

    async def get(self, name: str) -> User:
        """One account."""
        return await self._transport.get(User, f"{_USERS}/{quote(name, safe='')}")

    async def create(
        self,
        name: str,
        *,
        full_name: str = "",
        email: str = "",
        role: Role = "user",
        domain: str | None = None,
        projects: Sequence[str] | None = None,
    ) -> User:
        """Make an account, in your domain and its project `default` unless others are named. Raises NameInUse."""
        places = None if projects is None else [*projects]
        body = UserCreate(name=name, full_name=full_name, email=email, role=role, domain=domain, projects=places)
        return await send(self._transport, "POST", _USERS, body, User)

    async def update(self, name: str, change: UserUpdate) -> User:
        """Change what is given. Raises Conflict when no administrator could sign in any more."""
        return await send(self._transport, "PATCH", f"{_USERS}/{quote(name, safe='')}", change, User)

    async def delete(self, name: str, *, sessions: OwnedSessions = "refuse") -> None:
        """Delete an account, with `stop-and-delete` also one that has sessions. Raises Conflict."""
        await self._transport.call("DELETE", f"{_USERS}/{quote(name, safe='')}", params={"sessions": sessions})

    async def import_csv(
        self,
        data: bytes,
        *,
        domain: str | None = None,
        existing: Existing = "refuse",
        make_up: bool = False,
        dry_run: bool = False,
    ) -> Import:
        """Make the accounts of a table, all or none, in your domain unless another is named.

        `existing`: accounts that are there are mistakes, or join the project of their row. `make_up`: make up passwords
        where the table has none. `dry_run`: only tell what would be done. Passwords that were made up and links are
        told only here. Raises InvalidInput with all mistakes, by line and column, in `errors`.
        """
        params: dict[str, str | int | bool | list[str]] = {"existing": existing, "make_up": make_up, "dry_run": dry_run}
        if domain is not None:
            params["domain"] = domain
        response = await self._transport.call(
            "POST",
            f"{_USERS}:import",
            params=params,
            body=data,
            headers=_CSV,
            repeatable=dry_run,
            seconds=_IMPORT_SECONDS,
        )
        return self._transport.parse(Import, response.content)

    async def reset_password(self, name: str, password: str | None = None, *, sign_out: bool = False) -> FirstPassword:
        """Give somebody a first password, made up unless you choose it; it has to be replaced at sign-in."""
        body = PasswordReset(password=password, sign_out=sign_out)
        return await send(self._transport, "POST", f"{_USERS}/{quote(name, safe='')}/password", body, FirstPassword)

    async def password_link(self, name: str) -> Link:
        """A link with which somebody sets a password, which is only in this answer."""
        response = await self._transport.call(
            "POST", f"{_USERS}/{quote(name, safe='')}/password-link", repeatable=False
        )
        return self._transport.parse(Link, response.content)

    async def remove_second_factor(self, name: str) -> None:
        """Remove the second factor of somebody who has lost it. Raises Conflict without one."""
        await self._transport.call("DELETE", f"{_USERS}/{quote(name, safe='')}/second-factor")


class AsyncSharing:
    """With whom sessions are shared. `ref` is a session's id, or its name. Errors of all: Forbidden, NotFound."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self, ref: str) -> list[Share]:
        """Users and projects."""
        return (await self._transport.get(Page[Share], f"{API}/sessions/{ref}/shares")).items

    async def share(
        self, ref: str, *, user: str | None = None, project: str | None = None, level: ShareLevel = "view"
    ) -> Share:
        """Share a session with a user or a project, or change how far it is."""
        body = ShareUpdate(user=user, project=project, level=level)
        return await send(self._transport, "PUT", f"{API}/sessions/{ref}/shares", body, Share)

    async def unshare(self, ref: str, *, user: str | None = None, project: str | None = None) -> None:
        """Share it no more with a user or a project."""
        named = {"user": user, "project": project}
        params = {key: value for key, value in named.items() if value is not None}
        await self._transport.call("DELETE", f"{API}/sessions/{ref}/shares", params=params)
