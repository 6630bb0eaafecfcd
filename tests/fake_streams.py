"""Live streams and uploads in memory, so that the API and the SDK can be tested alone."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator

from madang.domain.errors import (
    InvalidInput,
    TooLarge,
)
from madang.domain.ids import new_id
from madang.domain.people import Caller
from madang.domain.session import ENDED
from madang.schemas.agent import (
    LogChunk,
)
from madang.schemas.api import (
    Event,
    Upload,
)
from madang.services.streams import StreamService
from madang.services.uploads import UploadService
from tests.fake_sessions import Sessions

UPLOAD_LIMIT = 1 << 20


class Streams(StreamService):
    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.open = 0
        self.tick = False

    async def logs(
        self, caller: Caller, ref: str, *, cursor: int = 0, follow: bool = True
    ) -> AsyncIterator[LogChunk | None]:
        sessions, sent = self.sessions, 0
        self.open += 1
        try:
            if self.tick:
                yield None
            while True:
                pieces = [piece for piece in sessions.logs[ref] if piece.cursor > cursor]
                for piece in pieces:
                    if sessions.drop_after is not None and sent >= sessions.drop_after:
                        sessions.drop_after = None
                        raise RuntimeError("connection breaks")
                    yield piece
                    sent, cursor = sent + 1, piece.cursor
                if not pieces and (not follow or sessions.all[ref].state in ENDED):
                    return
                if not pieces:
                    async with sessions.changed:
                        await sessions.changed.wait()
        finally:
            self.open -= 1

    async def events(
        self, caller: Caller, *, session: str | None = None, after: str | None = None, follow: bool = True
    ) -> AsyncIterator[Event | None]:
        last = int((after or "0-0").partition("-")[2])
        while True:
            for event in self.sessions.events[last:]:
                last = int(event.id.partition("-")[2])
                if session in (None, event.session):
                    yield event
            if not follow or (session is not None and self.sessions.all[session].state in ENDED):
                return
            async with self.sessions.changed:
                await self.sessions.changed.wait()


class Uploads(UploadService):
    def __init__(self) -> None:
        self.all: dict[str, bytes] = {}

    async def accept(self, caller: Caller, data: AsyncIterator[bytes]) -> Upload:
        content = bytearray()
        async for chunk in data:
            content += chunk
            if len(content) > UPLOAD_LIMIT:
                raise TooLarge("The archive is larger than this server takes.")
        try:
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                tar.getmembers()
        except (tarfile.TarError, EOFError, OSError):
            raise InvalidInput("This is no tar archive.") from None
        made = new_id()
        self.all[made] = bytes(content)
        return Upload(id=made, size=len(content))
