"""Pages of output: small writes arrive together, and nothing of them changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from madang.agent.outputlog import STREAMS, OutputWriter
from madang.agent.reading import read_page

SECOND = 1_000_000_000


def write(directory: Path, *pieces: tuple[str, bytes, int]) -> None:
    writer = OutputWriter(str(directory), 1 << 20)
    for stream, data, time in pieces:
        writer.write(STREAMS[stream], data, time)
    writer.close()


def test_lines_written_one_by_one_are_one_chunk(tmp_path: Path) -> None:
    write(tmp_path, *(("stdout", b"line\n", SECOND + number) for number in range(1000)))
    page = read_page(str(tmp_path), 0, 1 << 20, ended=True)
    assert [chunk.data for chunk in page.chunks] == [b"line\n" * 1000]
    assert page.chunks[-1].cursor == page.cursor


def test_streams_and_pauses_stay_apart(tmp_path: Path) -> None:
    write(tmp_path, ("stdout", b"a", 1), ("stderr", b"b", 2), ("stderr", b"c", 3), ("stderr", b"d", 2 * SECOND))
    page = read_page(str(tmp_path), 0, 1 << 20, ended=True)
    assert [(chunk.stream, chunk.data) for chunk in page.chunks] == [
        ("stdout", b"a"),
        ("stderr", b"bc"),
        ("stderr", b"d"),
    ]


def test_chunks_stay_small(tmp_path: Path) -> None:
    write(tmp_path, *(("stdout", b"x" * 10_000, number) for number in range(1, 31)))
    page = read_page(str(tmp_path), 0, 1 << 20, ended=True)
    assert sum(len(chunk.data) for chunk in page.chunks) == 300_000
    assert max(len(chunk.data) for chunk in page.chunks) <= 64 << 10


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(min_size=1, max_size=50)), max_size=30)
)
def test_reading_on_from_any_chunk_gives_the_rest(
    pieces: list[tuple[str, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("log")
    write(directory, *((stream, data, number * SECOND // 3) for number, (stream, data) in enumerate(pieces, 1)))
    page = read_page(str(directory), 0, 1 << 20, ended=True)
    for stream in ("stdout", "stderr"):
        written = b"".join(data for name, data in pieces if name == stream)
        assert b"".join(chunk.data for chunk in page.chunks if chunk.stream == stream) == written
    for number, chunk in enumerate(page.chunks, start=1):
        rest = read_page(str(directory), chunk.cursor, 1 << 20, ended=True)
        assert b"".join(c.data for c in rest.chunks) == b"".join(c.data for c in page.chunks[number:])
