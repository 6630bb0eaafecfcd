"""Output is read back byte for byte, in order, from every cursor that was handed out; what is lost is counted."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from madang.agent import outputlog
from madang.agent.outputlog import HEADER, MAGIC, STREAMS, OutputWriter, Record, read_output
from madang.agent.reading import read_page

OUT = STREAMS["stdout"]
ERR = STREAMS["stderr"]
SMALL = 1 << 16  # four segments of 16 KiB

_pieces = st.lists(
    st.tuples(
        st.sampled_from([OUT, ERR]),
        st.one_of(
            st.binary(max_size=40),
            st.builds(lambda byte, size: bytes([byte]) * size, st.integers(0, 255), st.integers(0, 9000)),
            # What a record begins with, written by the program itself.
            st.just(HEADER.pack(MAGIC, OUT, 1, 3) + b"abc"),
        ),
    ),
    max_size=60,
)


def _fill(directory: Path, count: int, data: bytes = b"x" * 1000) -> list[Record]:
    writer = OutputWriter(str(directory), SMALL)
    for number in range(count):
        writer.write(OUT, data, number + 1)
    writer.close()
    return _all(directory)


def _all(directory: Path, cursor: int = 0, limit: int = 1 << 30) -> list[Record]:
    return read_output(str(directory), cursor, limit)[0]


def _size(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.iterdir())


def _text(records: list[Record], stream: str = "stdout") -> bytes:
    return b"".join(record.data for record in records if record.stream == stream)


@given(_pieces, st.integers(1, 30_000), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back_without_gap_or_repetition(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, bytes]], limit: int, reopen: bool
) -> None:
    directory = tmp_path_factory.mktemp("log")
    writer = OutputWriter(str(directory), 1 << 22)  # larger than all there is: nothing may be missing
    for number, (stream, data) in enumerate(pieces):
        if reopen and number == len(pieces) // 2:
            writer.close()
            writer = OutputWriter(str(directory), 1 << 22)
        writer.write(stream, data, number + 1)
    writer.close()
    found: list[Record] = []
    cursor = 0
    while True:  # as a client reads: a page, then from the cursor it was handed
        records, gone = read_output(str(directory), cursor, limit)
        assert gone == 0
        if not records:
            break
        assert records[0].start == cursor
        cursor = records[-1].end
        found.extend(records)
    assert all(one.end == other.start for one, other in itertools.pairwise(found))
    for stream, name in ((OUT, "stdout"), (ERR, "stderr")):
        assert _text(found, name) == b"".join(data for wanted, data in pieces if wanted == stream)
    assert [record.time for record in found] == sorted(record.time for record in found)


@given(_pieces)
@settings(max_examples=25, deadline=None)
def test_across_rotation_every_cursor_continues_where_it_stood(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, bytes]]
) -> None:
    directory = tmp_path_factory.mktemp("log")
    writer = OutputWriter(str(directory), SMALL)
    followed: list[Record] = []
    cursor = 0
    for number, (stream, data) in enumerate(pieces * 3):
        writer.write(stream, data, number + 1)
        if number % 2:
            records, gone = read_output(str(directory), cursor, 1 << 30)
            assert gone == 0  # who follows closely loses nothing
            followed.extend(records)
            cursor = followed[-1].end if followed else 0
    end = writer.end
    writer.close()
    followed.extend(_all(directory, cursor))
    assert _text(followed) == b"".join(data for wanted, data in pieces * 3 if wanted == OUT)
    for record in followed:  # who comes back late is told exactly how much is gone
        records, gone = read_output(str(directory), record.end, 1)
        if record.end == end:
            assert (records, gone) == ([], 0)
        else:
            assert records[0].start == record.end + gone
            assert records[0] in followed


def test_the_size_stays_near_the_limit_and_the_newest_is_kept(tmp_path: Path) -> None:
    writer = OutputWriter(str(tmp_path), SMALL)
    for number in range(2000):
        writer.write(OUT, b"%06d" % number * 100, number + 1)
        assert _size(tmp_path) <= SMALL * 1.26
    assert _size(tmp_path) >= SMALL * 0.75
    writer.close()
    records = _all(tmp_path)
    assert records[-1].data == b"%06d" % 1999 * 100
    assert records[0].start > 0


def test_one_huge_piece_is_held_to_the_limit_too(tmp_path: Path) -> None:
    writer = OutputWriter(str(tmp_path), SMALL)
    writer.write(OUT, os.urandom(1 << 20), 1)
    writer.close()
    assert SMALL * 0.75 <= _size(tmp_path) <= SMALL * 1.26


def test_a_cursor_before_the_oldest_says_how_much_is_gone(tmp_path: Path) -> None:
    kept = _fill(tmp_path, 200)
    records, gone = read_output(str(tmp_path), 0, 1 << 30)
    assert gone == kept[0].start > 0
    assert records == kept
    assert read_output(str(tmp_path), 5, 1 << 30)[1] == gone - 5


def test_a_page_is_about_as_large_as_asked_for_and_never_empty(tmp_path: Path) -> None:
    kept = _fill(tmp_path, 20)
    assert _all(tmp_path, 0, 1) == kept[:1]
    assert _all(tmp_path, 0, 2500) == kept[:3]


def test_a_cursor_at_or_behind_the_end_gives_nothing(tmp_path: Path) -> None:
    kept = _fill(tmp_path, 3)
    for cursor in (kept[-1].end, kept[-1].end + 1, 2**53):
        assert read_output(str(tmp_path), cursor, 1 << 20) == ([], 0)


def test_a_cursor_inside_a_record_continues_at_the_next(tmp_path: Path) -> None:
    kept = _fill(tmp_path, 3)
    for cursor in (kept[1].start + 1, kept[1].start + HEADER.size, kept[1].end - 1):
        assert _all(tmp_path, cursor) == kept[2:]


def test_a_negative_cursor_gives_the_last_so_many_bytes_and_at_least_one_record(tmp_path: Path) -> None:
    kept = _fill(tmp_path, 50)
    size = kept[0].end - kept[0].start
    assert _all(tmp_path, -size) == kept[-1:]
    assert _all(tmp_path, -3 * size) == kept[-3:]
    # Within a record: all of it, for what is asked for has to be there.
    assert _all(tmp_path, -1) == kept[-1:]
    assert _all(tmp_path, -size - 1) == kept[-2:]
    assert _all(tmp_path, -(10**9)) == kept


def test_a_negative_cursor_is_followed_by_what_is_new_and_not_by_everything(tmp_path: Path) -> None:
    kept = _fill(tmp_path, 3)
    page = read_page(str(tmp_path), -1, 1 << 20, ended=False)
    assert [chunk.cursor for chunk in page.chunks] == [kept[-1].end]
    assert page.cursor == kept[-1].end


def test_a_program_cannot_forge_records_for_those_who_read_its_last_lines(tmp_path: Path) -> None:
    forged = HEADER.pack(MAGIC, outputlog.DROPPED, 1, 4) + b"evil"
    writer = OutputWriter(str(tmp_path), SMALL)
    writer.write(OUT, b"before", 1)
    writer.write(OUT, forged * 3, 2)
    writer.close()
    real = _all(tmp_path)
    for back in range(1, writer.end + 1):
        assert all(record in real for record in _all(tmp_path, -back))


def test_a_forged_record_at_a_guessed_cursor_does_no_harm(tmp_path: Path) -> None:
    writer = OutputWriter(str(tmp_path), SMALL)
    writer.write(OUT, HEADER.pack(MAGIC, outputlog.DROPPED, 1, 4) + b"evil", 1)
    writer.close()
    for cursor in range(writer.end + 1):
        assert all(chunk.skipped == 0 for chunk in read_page(str(tmp_path), cursor, 1 << 20, ended=True).chunks)


def test_nothing_there_is_no_error(tmp_path: Path) -> None:
    assert read_output(str(tmp_path / "missing"), 0, 100) == ([], 0)
    assert read_output(str(tmp_path), -5, 100) == ([], 0)


@pytest.mark.parametrize("kept_bytes", [1, HEADER.size - 1, HEADER.size, HEADER.size + 500])
def test_a_torn_last_record_is_left_out(tmp_path: Path, kept_bytes: int) -> None:
    whole = _fill(tmp_path, 3)
    newest = max(tmp_path.iterdir())
    with newest.open("ab") as file:
        file.write((HEADER.pack(MAGIC, OUT, 1, 1000) + b"t" * 1000)[:kept_bytes])
    assert _all(tmp_path) == whole
    assert _all(tmp_path, whole[-1].end) == []
    assert _all(tmp_path, -1) == whole[-1:]


@pytest.mark.parametrize("kept_bytes", [1, HEADER.size, HEADER.size + 500])
def test_output_goes_on_behind_a_torn_record(tmp_path: Path, kept_bytes: int) -> None:
    whole = _fill(tmp_path, 3)
    with max(tmp_path.iterdir()).open("ab") as file:
        file.write((HEADER.pack(MAGIC, OUT, 1, 1000) + b"t" * 1000)[:kept_bytes])
    writer = OutputWriter(str(tmp_path), SMALL)
    for number in range(5):
        writer.write(ERR, b"after %d" % number, 9)
    writer.close()
    assert _all(tmp_path)[:3] == whole
    assert _text(_all(tmp_path), "stderr") == b"after 0after 1after 2after 3after 4"
    assert _text(_all(tmp_path, whole[-1].end), "stderr") == b"after 0after 1after 2after 3after 4"


def test_a_segment_that_rotates_away_while_it_is_read_is_counted_as_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = _fill(tmp_path, 60)
    listed = [file.name for file in tmp_path.iterdir()]
    oldest, second = sorted(int(name[:-4]) for name in listed)[:2]
    (tmp_path / f"{oldest:020d}.log").unlink()
    monkeypatch.setattr(os, "listdir", lambda _: listed)
    records, gone = read_output(str(tmp_path), 0, 1 << 30)
    assert records == [record for record in kept if record.start >= second]
    assert gone == second


class _Disk:
    """A disk with room for so many more bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 1 << 40
        self._write: Callable[[int, bytes], int] = os.write
        monkeypatch.setattr(os, "write", self._take)

    def _take(self, descriptor: int, data: bytes) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = self._write(descriptor, data[: self.room])
        self.room -= count
        return count


def _lost(records: list[Record]) -> int:
    return sum(int(record.data) for record in records if record.stream == "dropped")


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.one_of(st.none(), st.integers(0, 5000))), min_size=1, max_size=30),
)
@settings(max_examples=60, deadline=None)
def test_a_full_disk_loses_output_but_says_how_much_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int | None]]
) -> None:
    directory = tmp_path_factory.mktemp("log")
    with pytest.MonkeyPatch.context() as patch:
        disk = _Disk(patch)
        writer = OutputWriter(str(directory), 1 << 22)
        written = 0
        for number, (size, room) in enumerate(steps):
            disk.room = 1 << 40 if room is None else room
            writer.write(OUT, b"%c" % (number + 65) * size, number + 1)
            written += size
        disk.room = 1 << 40
        writer.write(OUT, b"end", 99)
        writer.close()
    records = _all(directory)
    assert records[-1].data == b"end"
    assert len(_text(records)) - 3 + _lost(records) == written


def test_of_one_large_piece_only_what_is_missing_is_said_to_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = _Disk(monkeypatch)
    writer = OutputWriter(str(tmp_path), SMALL)
    disk.room = 10_000
    writer.write(OUT, b"a" * 40_000, 1)
    disk.room = 1 << 40
    writer.write(OUT, b"b", 2)
    writer.close()
    records = _all(tmp_path)
    assert 0 < len(_text(records)) - 1 < 10_000
    assert len(_text(records)) - 1 + _lost(records) == 40_000


def test_a_loss_at_the_very_end_is_told_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = _Disk(monkeypatch)
    writer = OutputWriter(str(tmp_path), SMALL)
    writer.write(OUT, b"kept", 1)
    disk.room = 0
    writer.write(OUT, b"lost forever", 2)
    disk.room = 1 << 40
    writer.close()
    assert _lost(_all(tmp_path)) == len(b"lost forever")
    page = read_page(str(tmp_path), 0, 1 << 20, ended=False)
    assert b"".join(chunk.data for chunk in page.chunks) == b"kept"
    assert sum(chunk.skipped for chunk in page.chunks) == len(b"lost forever")
    # A client that had read all that was there until then is told as well.
    behind = read_page(str(tmp_path), page.chunks[0].cursor, 1 << 20, ended=False)
    assert sum(chunk.skipped for chunk in behind.chunks) == len(b"lost forever")


def test_closing_on_a_full_disk_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = _Disk(monkeypatch)
    writer = OutputWriter(str(tmp_path), SMALL)
    disk.room = 0
    writer.write(OUT, b"lost", 1)
    writer.close()
    assert _all(tmp_path) == []


def test_a_disk_too_full_for_a_new_segment_loses_output_but_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = OutputWriter(str(tmp_path), SMALL)
    really = os.open

    def refuse(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, "No space left on device")
        return really(path, flags, mode, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        for number in range(30):
            writer.write(OUT, b"x" * 1000, number + 1)
    writer.write(OUT, b"after", 99)
    writer.close()
    records = _all(tmp_path)
    assert records[-1].data == b"after"
    assert len(_text(records)) - 5 + _lost(records) == 30_000
