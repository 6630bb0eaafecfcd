"""People of the synchronous client; what each method does and raises is written at the asynchronous one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from madang.domain.people import ProjectRole, Role, ShareLevel
from madang.schemas.invitations import Existing, Import
from madang.schemas.people import Domain, Member, OwnedSessions, Project, Share, User, UserUpdate
from madang.schemas.sign_in import FirstPassword, Link
from madang.sdk._bridge import Bridge
from madang.sdk.people import AsyncDomains, AsyncProjects, AsyncSharing, AsyncUsers


class Domains:
    """Organisations on one platform."""

    def __init__(self, domains: AsyncDomains, bridge: Bridge) -> None:
        self._domains = domains
        self._bridge = bridge

    def list(self) -> list[Domain]:
        """Your own; an administrator sees all."""
        return self._bridge.run(self._domains.list())

    def get(self, name: str) -> Domain:
        """One domain."""
        return self._bridge.run(self._domains.get(name))

    def create(self, name: str, *, title: str = "") -> Domain:
        """Make a domain."""
        return self._bridge.run(self._domains.create(name, title=title))

    def update(self, name: str, *, title: str | None = None, active: bool | None = None) -> Domain:
        """Change what is given."""
        return self._bridge.run(self._domains.update(name, title=title, active=active))

    def delete(self, name: str) -> None:
        """Delete an empty domain."""
        self._bridge.run(self._domains.delete(name))


class Projects:
    """Teams and who is in them."""

    def __init__(self, projects: AsyncProjects, bridge: Bridge) -> None:
        self._projects = projects
        self._bridge = bridge

    def list(self, domain: str | None = None) -> list[Project]:
        """Those you may see."""
        return self._bridge.run(self._projects.list(domain))

    def get(self, path: str) -> Project:
        """One project."""
        return self._bridge.run(self._projects.get(path))

    def create(self, path: str, *, title: str = "", owner: str | None = None) -> Project:
        """Make a project, owned by you unless somebody else is named."""
        return self._bridge.run(self._projects.create(path, title=title, owner=owner))

    def update(self, path: str, *, title: str | None = None, active: bool | None = None) -> Project:
        """Change what is given."""
        return self._bridge.run(self._projects.update(path, title=title, active=active))

    def delete(self, path: str) -> None:
        """Delete a project without sessions."""
        self._bridge.run(self._projects.delete(path))

    def members(self, path: str) -> Sequence[Member]:
        """Who is in it."""
        return self._bridge.run(self._projects.members(path))

    def set_member(
        self, path: str, user: str, role: ProjectRole = ProjectRole.MEMBER, *, expires_at: datetime | None = None
    ) -> Member:
        """Take somebody in, of whatever domain, or change what a member is."""
        return self._bridge.run(self._projects.set_member(path, user, role, expires_at=expires_at))

    def remove_member(self, path: str, user: str) -> None:
        """Let somebody be in it no more."""
        self._bridge.run(self._projects.remove_member(path, user))


class Users:
    """Accounts."""

    def __init__(self, users: AsyncUsers, bridge: Bridge) -> None:
        self._users = users
        self._bridge = bridge

    def list(self, domain: str | None = None) -> Iterator[User]:
        """Those you may see, by name, asked for page by page."""
        return self._bridge.iterate(self._users.list(domain))

    def get(self, name: str) -> User:
        """One account."""
        return self._bridge.run(self._users.get(name))

    def create(
        self,
        name: str,
        *,
        full_name: str = "",
        email: str = "",
        role: Role = "user",
        domain: str | None = None,
        projects: Sequence[str] | None = None,
    ) -> User:
        """Make an account."""
        work = self._users.create(name, full_name=full_name, email=email, role=role, domain=domain, projects=projects)
        return self._bridge.run(work)

    def update(self, name: str, change: UserUpdate) -> User:
        """Change what is given."""
        return self._bridge.run(self._users.update(name, change))

    def delete(self, name: str, *, sessions: OwnedSessions = "refuse") -> None:
        """Delete an account, with `stop-and-delete` also one that has sessions."""
        self._bridge.run(self._users.delete(name, sessions=sessions))

    def import_csv(
        self,
        data: bytes,
        *,
        domain: str | None = None,
        existing: Existing = "refuse",
        make_up: bool = False,
        dry_run: bool = False,
    ) -> Import:
        """Make the accounts of a table, all or none."""
        work = self._users.import_csv(data, domain=domain, existing=existing, make_up=make_up, dry_run=dry_run)
        return self._bridge.run(work)

    def reset_password(self, name: str, password: str | None = None, *, sign_out: bool = False) -> FirstPassword:
        """Give somebody a first password."""
        return self._bridge.run(self._users.reset_password(name, password, sign_out=sign_out))

    def password_link(self, name: str) -> Link:
        """A link with which somebody sets a password."""
        return self._bridge.run(self._users.password_link(name))

    def remove_second_factor(self, name: str) -> None:
        """Remove the second factor of somebody who has lost it."""
        self._bridge.run(self._users.remove_second_factor(name))


class Sharing:
    """With whom sessions are shared."""

    def __init__(self, sharing: AsyncSharing, bridge: Bridge) -> None:
        self._sharing = sharing
        self._bridge = bridge

    def list(self, ref: str) -> list[Share]:
        """Users and projects."""
        return self._bridge.run(self._sharing.list(ref))

    def share(
        self, ref: str, *, user: str | None = None, project: str | None = None, level: ShareLevel = "view"
    ) -> Share:
        """Share a session with a user or a project, or change how far it is."""
        return self._bridge.run(self._sharing.share(ref, user=user, project=project, level=level))

    def unshare(self, ref: str, *, user: str | None = None, project: str | None = None) -> None:
        """Share it no more with a user or a project."""
        self._bridge.run(self._sharing.unshare(ref, user=user, project=project))
