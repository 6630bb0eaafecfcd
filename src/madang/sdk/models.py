"""What the client hands out beside the wire models themselves."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from madang.schemas.agent import Stream
from madang.schemas.api import LogEvent

Progress = Callable[[int, int | None], None]
"""Called with the bytes done so far and the bytes in all, None when nobody knows."""


@dataclass(frozen=True, slots=True)
class LogPiece:
    """A piece of a session's output. Reading from `cursor` continues behind it.

    `skipped` is the number of bytes before it that were already rotated away.
    """

    stream: Stream
    data: bytes
    cursor: int
    skipped: int
    at: datetime

    @classmethod
    def read(cls, event: LogEvent, cursor: int) -> LogPiece:
        """From what came over the wire."""
        data = base64.b64decode(event.base64) if event.base64 is not None else (event.text or "").encode()
        return cls(event.stream, data, cursor, event.skipped, event.at)
