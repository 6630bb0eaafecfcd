"""Invitations into projects, asynchronously."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from madang.domain.people import ProjectRole
from madang.schemas.api import NewToken, Page
from madang.schemas.invitations import (
    Invitation,
    InvitationAccept,
    InvitationCreate,
    InvitationSignUp,
    NewInvitation,
)
from madang.schemas.people import Member
from madang.sdk._transport import API, Transport
from madang.sdk.people import project_url, send


class AsyncInvitations:
    """Links that take people into projects. A project is named by its path. Errors of all: Forbidden, NotFound."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self, project: str) -> Sequence[Invitation]:
        """The good ones into a project, newest first."""
        return (await self._transport.get(Page[Invitation], f"{project_url(project)}/invitations")).items

    async def create(
        self,
        project: str,
        role: ProjectRole = ProjectRole.MEMBER,
        *,
        expires_at: datetime | None = None,
        most_uses: int = 1,
        member_until: datetime | None = None,
        email: str = "",
    ) -> NewInvitation:
        """Make one, good for 7 days unless another end is named, of at most 90. Its link is shown only here."""
        body = InvitationCreate(
            role=role,
            expires_at=None if expires_at is None else expires_at.astimezone(),
            most_uses=most_uses,
            member_until=None if member_until is None else member_until.astimezone(),
            email=email,
        )
        return await send(self._transport, "POST", f"{project_url(project)}/invitations", body, NewInvitation)

    async def revoke(self, project: str, invitation: str) -> None:
        """Take one back, by its id; who has come in by it stays."""
        await self._transport.call("DELETE", f"{project_url(project)}/invitations/{invitation}")

    async def accept(self, link: str) -> Member:
        """Join the project of a link. Raises Conflict saying why it is good no more."""
        return await send(self._transport, "POST", f"{API}/me/invitations", InvitationAccept(link=link), Member)

    async def sign_up(
        self, link: str, name: str, password: str, *, full_name: str = "", email: str = "", label: str = ""
    ) -> NewToken:
        """Make an account with a link, and sign it in; needs no token. Raises NameInUse, InvalidInput, Conflict."""
        body = InvitationSignUp(link=link, name=name, password=password, full_name=full_name, email=email, label=label)
        return await send(self._transport, "POST", f"{API}/sign-in/invitation", body, NewToken)
