"""Invitations of the synchronous client; what each method does and raises is written at the asynchronous one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from madang.domain.people import ProjectRole
from madang.schemas.api import NewToken
from madang.schemas.invitations import Invitation, NewInvitation
from madang.schemas.people import Member
from madang.sdk._bridge import Bridge
from madang.sdk.invitations import AsyncInvitations


class Invitations:
    """Links that take people into projects."""

    def __init__(self, invitations: AsyncInvitations, bridge: Bridge) -> None:
        self._invitations = invitations
        self._bridge = bridge

    def list(self, project: str) -> Sequence[Invitation]:
        """The good ones into a project, newest first."""
        return self._bridge.run(self._invitations.list(project))

    def create(
        self,
        project: str,
        role: ProjectRole = ProjectRole.MEMBER,
        *,
        expires_at: datetime | None = None,
        most_uses: int = 1,
        member_until: datetime | None = None,
        email: str = "",
    ) -> NewInvitation:
        """Make one; its link is shown only here."""
        work = self._invitations.create(
            project, role, expires_at=expires_at, most_uses=most_uses, member_until=member_until, email=email
        )
        return self._bridge.run(work)

    def revoke(self, project: str, invitation: str) -> None:
        """Take one back, by its id."""
        self._bridge.run(self._invitations.revoke(project, invitation))

    def accept(self, link: str) -> Member:
        """Join the project of a link."""
        return self._bridge.run(self._invitations.accept(link))

    def sign_up(
        self, link: str, name: str, password: str, *, full_name: str = "", email: str = "", label: str = ""
    ) -> NewToken:
        """Make an account with a link, and sign it in."""
        work = self._invitations.sign_up(link, name, password, full_name=full_name, email=email, label=label)
        return self._bridge.run(work)
