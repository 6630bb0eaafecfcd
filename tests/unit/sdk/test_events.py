"""Server-sent events are read right wherever the network cuts them."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from madang.api.sse import KEEP_ALIVE, format_event
from madang.sdk._events import EventParser, ServerEvent

STREAM = (
    b"retry: 1000\n\n: keep-alive\n\nid: 5\nevent: log\ndata: {}\n\n"
    b"data: a\r\ndata:b\r\n\r\nid: 6\rdata: c\r\revent: end\ndata: \xed\x95\x9c\n\ndata: unfinished"
)
EVENTS = [
    ServerEvent("log", "{}", "5"),
    ServerEvent("message", "a\nb", "5"),
    ServerEvent("message", "c", "6"),
    ServerEvent("end", "한", "6"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_any_cut_gives_the_same_events(cuts: list[int]) -> None:
    parser, found = EventParser(), []
    places = [0, *sorted(cuts), len(STREAM)]
    for start, end in itertools.pairwise(places):
        found += parser.feed(STREAM[start:end])
    assert found == EVENTS


@given(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), st.integers(0, 2**53))
def test_what_the_server_writes_is_what_the_client_reads(data: str, cursor: int) -> None:
    stream = KEEP_ALIVE + format_event("log", b"x" + data.encode(), str(cursor)) + KEEP_ALIVE
    assert EventParser().feed(stream) == [ServerEvent("log", "x" + data, str(cursor))]
