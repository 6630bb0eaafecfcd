"""Use cases of invitations: a link that takes somebody into a project, with or without an account."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, credentials, invitations, links, projects, users
from madang.db.repositories.invitations import InvitationRow
from madang.db.rows import LinkRow, MemberRow, ProjectRow, UserRow
from madang.domain.errors import Conflict, Forbidden, InvalidInput, NameInUse, NotFound
from madang.domain.ids import Clock, new_id
from madang.domain.passwords import check_new
from madang.domain.people import Caller, ProjectRole
from madang.domain.rights import Right
from madang.schemas.api import NewToken
from madang.schemas.invitations import Invitation, InvitationCreate, InvitationSignUp, NewInvitation
from madang.schemas.people import Member
from madang.services import one_time
from madang.services.identity.passwords import Passwords
from madang.services.identity.throttle import Throttle
from madang.services.mail import Mailer
from madang.services.people_views import member_view
from madang.services.sign_in import SignInService

_GOOD_FOR: Final = timedelta(days=7)
_AT_MOST: Final = timedelta(days=90)
_UNKNOWN: Final = "This invitation is not known here, or its project is no more. Ask for another one."


class InvitationService:
    """Who may say who is in a project invites into it, and only as long: an invitation is good no more when its maker
    lost that right, was disabled or deleted."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        sign_in: SignInService,
        passwords: Passwords,
        throttle: Throttle,
        mailer: Mailer | None,
        public_url: str | None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._sign_in = sign_in
        self._passwords = passwords
        self._throttle = throttle
        self._mailer = mailer
        self._public_url = public_url

    async def list(self, caller: Caller, domain: str, name: str) -> Sequence[Invitation]:
        """The good ones into a project, newest first. Raises NotFound, Forbidden."""

        async def read(connection: AsyncConnection) -> list[Invitation]:
            project = await projects.find(connection, caller, domain, name)
            _require(caller, project)
            found = await invitations.backed(connection, project, self._clock.now())
            return [_view(one, project) for one in found]

        return await self._database.read(read)

    async def create(
        self, caller: Caller, path: tuple[str, str], request: InvitationCreate, *, base: str, language: str
    ) -> NewInvitation:
        """Make one, and mail it if there is an address and mail. `path`: domain and name of the project; `base`: where
        this server was reached.

        Raises NotFound, Forbidden, InvalidInput for times that are over or too far, Conflict for a closed project.
        """
        secret, digest = one_time.new_secret()

        async def save(transaction: Transaction) -> tuple[LinkRow, ProjectRow]:
            now = self._clock.now()
            project = await projects.hold(transaction, caller, *path)
            _require(caller, project)
            if not project.active:
                raise Conflict(f"The project '{project.path}' is closed. Open it before you invite somebody.")
            row = LinkRow(
                id=new_id(),
                digest=digest,
                kind="invitation",
                created_by=caller.user_id,
                created_at=now,
                expires_at=_end(request, now),
                project_id=project.id,
                role=request.role,
                member_until=request.member_until,
                email=request.email or None,
                most_uses=request.most_uses,
            )
            await links.add(transaction, row)
            after = request.model_dump(mode="json", exclude={"expires_at"})
            after |= {"invitation": row.id, "expires_at": row.expires_at.isoformat()}
            await audit.record(transaction, caller, "invitation.create", _target(project), now, after=after)
            return row, project

        row, project = await self._database.transaction(save, "invitation.create")
        link = one_time.address(self._public_url or base, "invitation", secret)
        sent = self._mailer is not None and row.email is not None
        if self._mailer is not None and row.email is not None:
            values = {
                "sender": caller.name,
                "project": project.path,
                "role": request.role.value,
                "until": f"{row.expires_at:%Y-%m-%d %H:%M}",
                "link": one_time.address(self._mailer.public_url, "invitation", secret),
            }
            self._mailer.send(row.email, "invitation", language, values)
        return NewInvitation(**_view(row, project).model_dump(), link=link, sent=sent)

    async def revoke(self, caller: Caller, domain: str, name: str, invitation: str) -> None:
        """Take a good one back; who has come in by it stays. Raises NotFound, Forbidden."""

        async def save(transaction: Transaction) -> None:
            now = self._clock.now()
            project = await projects.hold(transaction, caller, domain, name)
            _require(caller, project)
            found = await links.of_project(transaction.connection, project.id, now)
            if invitation not in {one.id for one in found}:
                raise NotFound(
                    f"There is no invitation '{invitation[:40]}' into '{project.path}' that is still good. "
                    f"'madang project invitations {project.path}' shows those there are."
                )
            await links.revoke(transaction, invitation, now)
            values = {"before": {"invitation": invitation}}
            await audit.record(transaction, caller, "invitation.revoke", _target(project), now, **values)

        await self._database.transaction(save, "invitation.revoke")

    async def accept(self, caller: Caller, link: str) -> Member:
        """Join the project of an invitation, from now on and until it says; a stronger role stays.

        Who is in the project already with as much does not use it up. Raises NotFound, Conflict saying why the
        invitation is not good any more or would take something away, Forbidden.
        """
        caller.require(Right.ACCOUNT_CHANGE, owner_id=caller.user_id)
        digest = one_time.digest_of(link)

        async def save(transaction: Transaction) -> MemberRow:
            now = self._clock.now()
            found = _good(await invitations.lock(transaction, digest, now), now)
            account = await credentials.by_id(transaction.connection, caller.user_id)
            if account is None or account.robot_of is not None:
                raise Forbidden("A token of a project cannot join another one. Accept the invitation as yourself.")
            before = await _place(transaction.connection, found.project, caller.user_id)
            if before is not None and not _gains(before, found, now):
                return before
            return await self._join(transaction, caller, found, before, now)

        return member_view(await self._database.transaction(save, "invitation.accept"))

    async def sign_up(self, request: InvitationSignUp, address: str) -> NewToken:
        """Make an account in the domain of an invitation's project, with a role in that project only, and sign it in.

        Raises what `accept` does, NameInUse, InvalidInput for a password that is not good enough, TooManyAttempts.
        """
        digest = one_time.digest_of(request.link)
        attempt = await self._throttle.begin(f"invitation {request.name}", address)
        now = self._clock.now()
        seen = _good(await self._database.read(lambda one: invitations.find(one, digest, now)), now)
        email = request.email or seen.link.email or ""
        check_new(request.password, (request.name, request.full_name, email))
        hashed = await self._passwords.hash(request.password)

        async def save(transaction: Transaction) -> str:
            at = self._clock.now()
            found = _good(await invitations.lock(transaction, digest, at), at)
            home = found.project
            row = UserRow(
                new_id(), request.name, "user", home.domain_id, home.domain, at, email or None, request.full_name
            )
            if not await users.add(transaction, row, {}):
                raise NameInUse(f"The name '{row.name}' is taken. Choose another one, or sign in and accept it then.")
            await credentials.set_password(transaction, row.id, hashed)
            joiner = Caller(row.id, row.name, row.role, row.domain_id, address=address)
            after = {"domain": row.domain, "email": row.email, "full_name": row.full_name, "invitation": found.link.id}
            target = audit.Target(row.id, row.name, row.domain_id)
            await audit.record(transaction, joiner, "user.create", target, at, after=after)
            await self._join(transaction, joiner, found, None, at)
            return row.id

        user_id = await self._database.transaction(save, "invitation.sign_up")
        await self._throttle.succeeded(attempt)
        label = request.label or "invitation"
        return await self._sign_in.admit(user_id, kind="token", label=label, address=address, how="invitation")

    async def _join(
        self, transaction: Transaction, joiner: Caller, found: InvitationRow, before: MemberRow | None, now: datetime
    ) -> MemberRow:
        """Use the invitation once. The project is locked, so nobody else does at the same time."""
        link, project = found.link, found.project
        assert link.role is not None  # noqa: S101 - it is an invitation
        if await links.use(transaction, link.digest, now) is None:
            raise NotFound(_UNKNOWN)
        until = link.member_until
        await projects.set_member(transaction, project, joiner.user_id, link.role, at=now, expires_at=until)
        await projects.require_owner(transaction, project)
        written = None if until is None else until.isoformat()
        data = {"project": project.path, "user": joiner.name, "role": link.role.value}
        transaction.emit("project.member", now, {**data, "expires_at": written})
        then = None if before is None else {joiner.name: before.role.value}
        after = {joiner.name: link.role.value, "expires_at": written, "invitation": link.id}
        await audit.record(transaction, joiner, "project.join", _target(project), now, before=then, after=after)
        made = await _place(transaction.connection, project, joiner.user_id)
        assert made is not None  # noqa: S101 - it has just been written
        return made


def _require(caller: Caller, project: ProjectRow) -> None:
    """Raises Forbidden."""
    caller.require(Right.PROJECT_PEOPLE, project_id=project.id, domain_id=project.domain_id)


def _end(request: InvitationCreate, now: datetime) -> datetime:
    """Until when an invitation is good. Raises InvalidInput."""
    end = request.expires_at or now + _GOOD_FOR
    if not now < end <= now + _AT_MOST:
        raise InvalidInput(f"An invitation is good for at most {_AT_MOST.days} days from now. Name an end within them.")
    if request.member_until is not None and request.member_until <= now:
        raise InvalidInput(f"The membership would be over already: it is {now:%Y-%m-%d %H:%M} UTC now.")
    return end


def _good(found: InvitationRow | None, now: datetime) -> InvitationRow:
    """The invitation, if it lets somebody in. Raises NotFound, and Conflict saying why not."""
    if found is None:
        raise NotFound(_UNKNOWN)
    link = found.link
    why = ""
    if link.revoked_at is not None:
        why = "This invitation was taken back."
    elif link.uses >= link.most_uses:
        why = "This invitation was used already."
    elif link.expires_at <= now:
        why = f"This invitation was good until {link.expires_at:%Y-%m-%d %H:%M} UTC."
    elif link.member_until is not None and link.member_until <= now:
        why = "The membership that this invitation gives is over already."
    elif not found.open:
        why = f"The project '{found.project.path}' is closed."
    elif not found.backed:
        why = f"Who made this invitation does not say any more who is in '{found.project.path}'."
    if why:
        raise Conflict(f"{why} Ask for another one.")
    return found


def _gains(before: MemberRow, found: InvitationRow, now: datetime) -> bool:
    """Whether the invitation gives a member more. Raises Conflict when it would take something, too."""
    role, until = found.link.role or ProjectRole.VIEWER, found.link.member_until
    if before.expires_at is not None and before.expires_at <= now:
        return True
    longer = before.expires_at is not None and (until is None or until > before.expires_at)
    as_long = longer or until == before.expires_at
    if role.rank == before.role.rank:
        return longer
    if role.rank < before.role.rank:
        return False
    if not as_long:
        raise Conflict(
            f"You are {before.role} of '{found.project.path}' for longer than this invitation would make you {role}. "
            "Ask who invited you to change your role instead."
        )
    return True


async def _place(connection: AsyncConnection, project: ProjectRow, user_id: str) -> MemberRow | None:
    return next((one for one in await projects.members(connection, project.id) if one.user_id == user_id), None)


def _target(project: ProjectRow) -> audit.Target:
    return audit.Target(project.id, project.path, project.domain_id)


def _view(row: LinkRow, project: ProjectRow) -> Invitation:
    assert row.role is not None  # noqa: S101 - it is an invitation
    return Invitation(
        id=row.id,
        project=project.path,
        role=row.role,
        email=row.email or "",
        uses=row.uses,
        most_uses=row.most_uses,
        member_until=row.member_until,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
