"""Use cases of project tokens: machines that act for a project, and not for one of its people."""

from __future__ import annotations

import secrets
import string
from collections.abc import Sequence
from datetime import datetime
from typing import Final, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, projects, robots, tokens, users
from madang.db.repositories.robots import RobotToken
from madang.db.rows import ProjectRow, UserRow
from madang.domain.errors import Forbidden, NotFound, Unavailable
from madang.domain.ids import Clock, new_id
from madang.domain.people import Caller, ProjectRole
from madang.domain.rights import Right
from madang.schemas.machines import NewProjectToken, ProjectToken, ProjectTokenCreate, RobotRole
from madang.services.tokens import allowed_scopes, check_expiry, make_credential

_LETTERS: Final = 6
_ATTEMPTS: Final = 5


class ProjectTokenService:
    """For who may change who is in the project. Errors of all: Forbidden, NotFound."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller, domain: str, name: str) -> Sequence[ProjectToken]:
        """Those that have not been revoked, newest first."""

        async def read(connection: AsyncConnection) -> tuple[ProjectRow, Sequence[RobotToken]]:
            project = await projects.find(connection, caller, domain, name)
            _require(caller, project)
            return project, await robots.of_project(connection, project.id)

        project, found = await self._database.read(read)
        return [_view(project, one) for one in found]

    async def create(self, caller: Caller, domain: str, name: str, request: ProjectTokenCreate) -> NewProjectToken:
        """A token, and its robot. Raises Forbidden for a scope that the caller's own credential lacks, InvalidInput."""
        now = self._clock.now()
        check_expiry(request.expires_at, now)
        scopes = allowed_scopes(caller, request.scopes)
        secret = ""

        async def save(transaction: Transaction) -> ProjectToken:
            nonlocal secret
            project = await projects.hold(transaction, caller, domain, name)
            _require(caller, project)
            robot = await _make_robot(transaction, project, request, now)
            secret, new = make_credential(robot.id, request.label, now, expires_at=request.expires_at, scopes=scopes)
            await tokens.add(transaction, new)
            made = await robots.find(transaction.connection, project.id, new.id)
            assert made is not None  # noqa: S101 - it has just been written
            view = _view(project, made)
            after = view.model_dump(mode="json", include={"user", "role", "scopes", "expires_at"})
            await audit.record(transaction, caller, "project.token.create", _target(project, made), now, after=after)
            return view

        view = await self._database.transaction(save, "project.token.create")
        return NewProjectToken(**view.model_dump(), token=secret)

    async def revoke(self, caller: Caller, domain: str, name: str, token_id: str) -> None:
        """Take a token back and disable its robot; its sessions go on, and owners of the project can stop them."""

        async def revoke(transaction: Transaction) -> None:
            now = self._clock.now()
            project = await projects.hold(transaction, caller, domain, name)
            _require(caller, project)
            found = await robots.find(transaction.connection, project.id, token_id)
            if found is None or await tokens.revoke(transaction, found.robot_id, token_id, now) is None:
                raise NotFound(
                    f"The project '{project.path}' has no token '{token_id[:40]}'. 'madang token ls --project "
                    f"{project.path}' shows those it has."
                )
            await robots.disable(transaction, found.robot_id)
            await audit.record(transaction, caller, "project.token.revoke", _target(project, found), now)

        await self._database.transaction(revoke, "project.token.revoke")


async def _make_robot(
    transaction: Transaction, project: ProjectRow, request: ProjectTokenCreate, now: datetime
) -> UserRow:
    for _ in range(_ATTEMPTS):
        letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(_LETTERS))
        robot = UserRow(
            id=new_id(),
            name=f"robot-{project.name}-{letters}",
            role="user",
            domain_id=project.domain_id,
            domain=project.domain,
            created_at=now,
            full_name=request.label,
            robot_of=project.id,
        )
        if await users.add(transaction, robot, {project.id: ProjectRole(request.role)}):
            return robot
    raise Unavailable("No free name for the robot was found. Try again.")


def _require(caller: Caller, project: ProjectRow) -> None:
    if caller.robot:
        raise Forbidden("A project's robot makes no tokens. Use an account of a person.")
    caller.require(Right.PROJECT_PEOPLE, project_id=project.id, domain_id=project.domain_id)


def _target(project: ProjectRow, token: RobotToken) -> audit.Target:
    return audit.Target(token.id, f"{project.path}: {token.label}", project.domain_id)


def _view(project: ProjectRow, token: RobotToken) -> ProjectToken:
    return ProjectToken(
        id=token.id,
        label=token.label,
        scopes=None if token.scopes is None else sorted(token.scopes),
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
        user=token.robot,
        project=project.path,
        role=cast(RobotRole, token.role),
    )
