"""Live streams: the output of a session, and the events of the platform."""

from __future__ import annotations

from collections.abc import AsyncIterator

from madang.domain.people import Caller
from madang.schemas.agent import LogChunk
from madang.schemas.api import Event


class StreamService:
    """Streams never skip: each resumes exactly behind the cursor or event the reader saw last.

    Errors (NotFound, InvalidInput for a malformed cursor) are raised by the first step of the iterator.
    """

    def logs(self, caller: Caller, ref: str, *, cursor: int = 0, follow: bool = True) -> AsyncIterator[LogChunk | None]:
        """Output from `cursor` on (negative: that many bytes back). None is a keep-alive tick, every 15 s of silence.

        Ends when the session has ended and all was read; without `follow` when all there is was read. Waits for a
        session that has not started yet when `follow`.
        """
        raise NotImplementedError

    def events(
        self, caller: Caller, *, session: str | None = None, after: str | None = None, follow: bool = True
    ) -> AsyncIterator[Event | None]:
        """Events behind `after`; all that are kept when it is absent. None is a keep-alive tick.

        With a session it ends behind that session's last event. An admin sees all events, others their own.
        """
        raise NotImplementedError
