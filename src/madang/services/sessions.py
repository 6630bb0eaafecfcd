"""Use cases of sessions: create, look at, stop, delete."""

from __future__ import annotations

from collections.abc import Sequence

from madang.domain.people import Caller
from madang.domain.session import SessionKind, SessionState
from madang.schemas.api import Page, Session, SessionCreate
from madang.services.contents import SessionContents


class SessionService(SessionContents):
    """`ref` is a session's id, or its name: then the caller's live session of that name, else the newest one."""

    async def create(self, caller: Caller, request: SessionCreate, idempotency_key: str | None = None) -> Session:
        """Accept a session; it is durable when this returns.

        The same key with the same request gives the session made before; with another one IdempotencyMismatch.
        Raises InvalidInput, InvalidSlots, ImpossibleRequest, NameInUse, NotFound (the upload), Unavailable, StorageFull.
        """
        raise NotImplementedError

    async def get(self, caller: Caller, ref: str) -> Session:
        """Raises NotFound, also when the session belongs to somebody else."""
        raise NotImplementedError

    async def list(
        self,
        caller: Caller,
        *,
        states: Sequence[SessionState] = (),
        name: str | None = None,
        kind: SessionKind | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Session]:
        """Newest first. An admin sees all sessions, others their own. Raises InvalidInput for a bad cursor."""
        raise NotImplementedError

    async def stop(self, caller: Caller, ref: str, grace_seconds: float = 10) -> Session:
        """Ask the session to end; an ended one is returned as it is. The end itself comes later."""
        raise NotImplementedError

    async def delete(self, caller: Caller, ref: str) -> None:
        """Forget an ended session with its logs and files. Raises Conflict unless it has ended."""
        raise NotImplementedError
