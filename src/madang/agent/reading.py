"""Pages of a container's output as the manager reads them."""

from __future__ import annotations

from madang.agent.containers import instant
from madang.agent.outputlog import read_output
from madang.schemas.agent import LogChunk, LogPage, Stream


def read_page(directory: str, cursor: int, limit: int, ended: bool) -> LogPage:
    """Output from `cursor` on. `ended`: the container had ended before this call, so silence is the end. Blocks."""
    records, skipped = read_output(directory, cursor, limit)
    chunks: list[LogChunk] = []
    behind = max(cursor, 0)
    for record in records:
        behind = record.end
        at = instant(record.time / 1e9)
        if record.stream == "dropped" or at is None:
            skipped += int(record.data)
            continue
        stream: Stream = "stderr" if record.stream == "stderr" else "stdout"
        chunks.append(LogChunk(cursor=record.end, stream=stream, at=at, data=record.data, skipped=skipped))
        skipped = 0
    return LogPage(chunks=chunks, cursor=behind, ended=ended and not records)
