"""The form of the event streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from madang.api.sse import format_event, format_events, format_logs, log_event
from madang.schemas.agent import LogChunk
from madang.schemas.api import Event, LogEvent
from madang.sdk.models import LogPiece

AT = datetime(2026, 11, 1, tzinfo=UTC)


def chunk(data: bytes, cursor: int = 7) -> LogChunk:
    return LogChunk(cursor=cursor, stream="stdout", at=AT, data=data, skipped=2)


def test_an_event_is_its_id_name_and_data() -> None:
    assert format_event("log", b"{}", "7") == b"id: 7\nevent: log\ndata: {}\n\n"
    assert format_event("end", b"{}") == b"event: end\ndata: {}\n\n"


def test_whole_text_is_text_and_anything_else_is_base64() -> None:
    assert (log_event(chunk(b"a\nb")).text, log_event(chunk(b"a\nb")).base64) == ("a\nb", None)
    assert (log_event(chunk(b"\xed\x95")).text, log_event(chunk(b"\xed\x95")).base64) == (None, "7ZU=")


@given(st.binary())
def test_any_output_survives_the_way(data: bytes) -> None:
    written = log_event(chunk(data)).model_dump_json()
    assert "\n" not in written
    piece = LogPiece.read(LogEvent.model_validate_json(written), 7)
    assert (piece.data, piece.cursor, piece.skipped, piece.at) == (data, 7, 2, AT)


async def test_the_streams_tick_and_end() -> None:
    async def chunks() -> AsyncIterator[LogChunk | None]:
        yield None
        yield chunk(b"x")

    async def events() -> AsyncIterator[Event | None]:
        yield Event(id="9", at=AT, kind="session.running", session=None, data={"n": 1})
        yield None

    logs = [frame async for frame in format_logs(chunks())]
    assert logs[0] == b": keep-alive\n\n"
    assert logs[1].startswith(b"id: 7\nevent: log\n")
    assert logs[2] == b"event: end\ndata: {}\n\n"
    changes = [frame async for frame in format_events(events())]
    assert changes[0].startswith(b"id: 9\nevent: event\ndata: {")
    assert changes[1:] == [b": keep-alive\n\n", b"event: end\ndata: {}\n\n"]
