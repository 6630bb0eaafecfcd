"""Pages of a container's output as the manager reads them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from madang.agent.containers import instant
from madang.agent.outputlog import read_output
from madang.schemas.agent import LogChunk, LogPage, Stream

_PIECE: Final = 64 << 10  # bytes
_TOGETHER: Final = 1_000_000_000  # nanoseconds


@dataclass
class _Piece:
    stream: Stream
    time: int
    at: datetime
    skipped: int
    data: bytearray
    end: int


def read_page(directory: str, cursor: int, limit: int, ended: bool) -> LogPage:
    """Output from `cursor` on. `ended`: the container had ended before this call, so silence is the end. Blocks.

    What was written to one stream within a second is one chunk: a program that writes each line by itself would
    otherwise cost a message a line all the way to its reader.
    """
    records, skipped = read_output(directory, cursor, limit)
    pieces: list[_Piece] = []
    behind = max(cursor, 0)
    at = None
    for record in records:
        behind = record.end
        at = instant(record.time / 1e9)
        if record.stream == "dropped" or at is None:
            # At a cursor that was guessed, what looks like a record may be output of the program.
            skipped += int(record.data) if len(record.data) < 20 and record.data.isdigit() else 0
            continue
        stream: Stream = "stderr" if record.stream == "stderr" else "stdout"
        last = pieces[-1] if pieces else None
        if (
            last is not None
            and not skipped
            and last.stream == stream
            and len(last.data) + len(record.data) <= _PIECE
            and record.time - last.time <= _TOGETHER
        ):
            last.data += record.data
            last.end = record.end
            continue
        pieces.append(_Piece(stream, record.time, at, skipped, bytearray(record.data), record.end))
        skipped = 0
    chunks = [
        LogChunk(cursor=piece.end, stream=piece.stream, at=piece.at, data=bytes(piece.data), skipped=piece.skipped)
        for piece in pieces
    ]
    if skipped and at is not None:  # nothing follows the loss yet, and the next page begins behind it
        chunks.append(LogChunk(cursor=behind, stream="stdout", at=at, data=b"", skipped=skipped))
    return LogPage(chunks=chunks, cursor=behind, ended=ended and not records)
