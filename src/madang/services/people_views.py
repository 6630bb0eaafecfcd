"""From rows of people and projects to what users see."""

from __future__ import annotations

from collections.abc import Iterable

from madang.db.rows import DomainRow, MemberRow, ProjectRow, ShareRow, UserRow
from madang.schemas.people import Domain, Member, Project, Share, User, UserProject


def domain_view(row: DomainRow) -> Domain:
    """A domain."""
    return Domain(
        id=row.id,
        name=row.name,
        title=row.title,
        active=row.active,
        projects=row.projects,
        users=row.users,
        created_at=row.created_at,
    )


def project_view(row: ProjectRow) -> Project:
    """A project."""
    return Project(
        id=row.id,
        project=row.path,
        domain=row.domain,
        name=row.name,
        title=row.title,
        active=row.active,
        members=row.members,
        created_at=row.created_at,
    )


def member_view(row: MemberRow) -> Member:
    """Somebody in a project."""
    return Member(
        user=row.user,
        full_name=row.full_name,
        project=row.project,
        role=row.role,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def user_view(row: UserRow, memberships: Iterable[MemberRow]) -> User:
    """An account, with those of these memberships that are its own."""
    mine = [one for one in memberships if one.user_id == row.id]
    return User(
        id=row.id,
        name=row.name,
        full_name=row.full_name,
        email=row.email or "",
        role=row.role,
        domain=row.domain,
        active=row.active,
        robot=row.robot_of is not None,
        source=row.source or "",
        projects=[UserProject(project=one.project, role=one.role, expires_at=one.expires_at) for one in mine],
        created_at=row.created_at,
    )


def share_view(row: ShareRow) -> Share:
    """With whom a session is shared."""
    return Share(user=row.user, project=row.project, level=row.level, created_at=row.created_at)
