"""Use cases of sharing: who else may look at a session, or use it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database, Transaction
from madang.db.repositories import audit, projects, sessions, shares, users
from madang.db.rows import ShareRow
from madang.domain.errors import InvalidInput, NotFound
from madang.domain.ids import Clock
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.schemas.people import Share, ShareUpdate
from madang.services.people_views import share_view
from madang.services.submission import target_of

_WITH_WHOM: Final = "Say with whom: either with a user or with a project."


class SharingService:
    """`ref` is a session's id, or its name. Errors of all: Forbidden, and NotFound for what the caller may not know
    of: the session, a user of no domain or project of the caller's, a project that the caller is not in."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller, ref: str) -> Sequence[Share]:
        """Users by name, then projects by path."""

        async def read(connection: AsyncConnection) -> list[ShareRow]:
            session = await sessions.find(connection, caller, ref, Right.SESSION_SHARE)
            return await shares.of_session(connection, session.id)

        return [share_view(row) for row in await self._database.read(read)]

    async def share(self, caller: Caller, ref: str, request: ShareUpdate) -> Share:
        """Share a session with a user or with all of a project, or change how far it is. Raises InvalidInput."""

        async def save(transaction: Transaction) -> ShareRow:
            connection = transaction.connection
            session = await sessions.find(connection, caller, ref, Right.SESSION_SHARE)
            user_id = project_id = None
            if request.user is not None and request.project is None:
                user_id = (await users.fellow(connection, caller, request.user)).id
            elif request.project is not None and request.user is None:
                project_id, _ = await projects.named(connection, caller, request.project)
            else:
                raise InvalidInput(_WITH_WHOM)
            if user_id == session.owner_id:
                raise InvalidInput(f"The session is {request.user}'s own. Name somebody else.")
            now = self._clock.now()
            await shares.save(transaction, session, request.level, now, user_id=user_id, project_id=project_id)
            after = {"user": request.user, "project": request.project, "level": request.level}
            await audit.record(transaction, caller, "session.share", target_of(session), now, after=after)
            all_of_it = await shares.of_session(connection, session.id)
            [made] = [one for one in all_of_it if (one.user_id, one.project_id) == (user_id, project_id)]
            return made

        return share_view(await self._database.transaction(save, "session.share"))

    async def unshare(self, caller: Caller, ref: str, *, user: str | None = None, project: str | None = None) -> None:
        """Share a session with a user or a project no more. Raises InvalidInput."""

        async def remove(transaction: Transaction) -> None:
            connection = transaction.connection
            session = await sessions.find(connection, caller, ref, Right.SESSION_SHARE)
            if (user is None) == (project is None):
                raise InvalidInput(_WITH_WHOM)
            names = {user or project}
            with suppress(NotFound):
                names.add(caller.membership(project or "").path)
            for one in await shares.of_session(connection, session.id):
                if (one.user or one.project) in names and (one.user is None) == (user is None):
                    now = self._clock.now()
                    await shares.remove(transaction, session, one, now)
                    before = {"user": one.user, "project": one.project, "level": one.level}
                    await audit.record(transaction, caller, "session.unshare", target_of(session), now, before=before)
                    return
            raise NotFound(f"Session '{session.name}' is not shared with '{(user or project or '')[:90]}'.")

        await self._database.transaction(remove, "session.unshare")
