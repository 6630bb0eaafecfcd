"""A container's output on disk: records in numbered segments, the oldest deleted when the size cap is reached.

A record is a header (magic, stream, time in ns, length) and the bytes. A cursor counts all record bytes ever written,
so it names one place in the output for ever; a segment's file name is the cursor of its first record.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

HEADER: Final = struct.Struct("<4sBQI")
MAGIC: Final = b"MDL1"
STREAMS: Final = {"stdout": 1, "stderr": 2}
DROPPED: Final = 3
"""Pseudo-stream of a record that stands for output lost to a full disk; its bytes are the count as text."""

_NAMES: Final = {1: "stdout", 2: "stderr", DROPPED: "dropped"}
_SEGMENTS: Final = 4
_MAX_RECORD: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """One piece of output. `start` and `end` are cursors; `time` is in ns since the epoch."""

    start: int
    end: int
    stream: str
    time: int
    data: bytes


def _segments(directory: int) -> list[int]:
    names = (name for name in os.listdir(directory) if name.endswith(".log"))
    return sorted(int(name[:-4]) for name in names if name[:-4].isdigit())


def _segment_name(base: int) -> str:
    return f"{base:020d}.log"


class OutputWriter:
    """Appends records, keeping the newest `limit` bytes (at least the last three quarters of it).

    A full disk loses output but never blocks the container; the loss is recorded as soon as there is room again.
    """

    def __init__(self, directory: str, limit: int) -> None:
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._segment_limit = max(limit // _SEGMENTS, 1 << 14)
        self._record_limit = min(self._segment_limit // 4, _MAX_RECORD)  # so that a segment passes its limit by little
        self._bases = _segments(self._directory)
        self._file = -1
        self._dropped = 0
        self.end = 0
        if self._bases:
            self.end = self._bases[-1] + os.stat(_segment_name(self._bases[-1]), dir_fd=self._directory).st_size
        self._open_segment()

    def _open_segment(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(_segment_name(self.end), flags, 0o600, dir_fd=self._directory)
        if self.end not in self._bases:
            self._bases.append(self.end)
        while len(self._bases) > _SEGMENTS:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_segment_name(self._bases.pop(0)), dir_fd=self._directory)

    def write(self, stream: int, data: bytes, time: int) -> None:
        """Append one piece of output."""
        try:
            if self._dropped:
                self._append(DROPPED, str(self._dropped).encode(), time)
                self._dropped = 0
            for start in range(0, len(data), self._record_limit):
                self._append(stream, data[start : start + self._record_limit], time)
        except OSError:
            self._dropped += len(data)

    def _append(self, stream: int, data: bytes, time: int) -> None:
        if self._file < 0 or self.end - self._bases[-1] >= self._segment_limit:
            self._open_segment()
        record = HEADER.pack(MAGIC, stream, time, len(data)) + data
        written = 0
        try:
            while written < len(record):
                written += os.write(self._file, record[written:])
        except OSError:
            os.ftruncate(self._file, self.end - self._bases[-1])
            raise
        self.end += len(record)

    def close(self) -> None:
        """Make the output durable and let go of the files."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.fdatasync(self._file)
            os.close(self._file)
            self._file = -1
        os.close(self._directory)


def output_end(directory: str) -> int:
    """The cursor behind the newest complete or incomplete record."""
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        bases = _segments(handle)
        return bases[-1] + os.stat(_segment_name(bases[-1]), dir_fd=handle).st_size if bases else 0
    finally:
        os.close(handle)


def read_output(directory: str, cursor: int, limit: int) -> tuple[list[Record], int]:
    """Records from `cursor` on, about `limit` bytes of them; and how many bytes before them are gone.

    A cursor before the oldest segment continues there; one inside a record (nobody was given such a one) continues at
    the next record; a negative one counts back from the end.
    """
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return [], 0
    try:
        bases = _segments(handle)
        if not bases:
            return [], 0
        if cursor < 0:
            last = bases[-1] + os.stat(_segment_name(bases[-1]), dir_fd=handle).st_size
            cursor = max(last + cursor, bases[0])
        gone = max(0, bases[0] - cursor)
        cursor = max(cursor, bases[0])
        records: list[Record] = []
        size = 0
        for index, base in enumerate(bases):
            following = bases[index + 1] if index + 1 < len(bases) else None
            if following is not None and following <= cursor:
                continue
            for record in _read_segment(handle, base, cursor):
                records.append(record)
                size += record.end - record.start
                if size >= limit:
                    return records, gone
        return records, gone
    finally:
        os.close(handle)


def _read_segment(directory: int, base: int, cursor: int) -> Iterator[Record]:
    try:
        descriptor = os.open(_segment_name(base), os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:  # rotated away since it was listed
        return
    with open(descriptor, "rb", buffering=1 << 16) as file:
        position = max(cursor - base, 0)
        if position and not _is_record(os.pread(descriptor, HEADER.size, position)):
            position = _boundary(descriptor, position)
        file.seek(position)
        while len(head := file.read(HEADER.size)) == HEADER.size:
            magic, stream, time, length = HEADER.unpack(head)
            if magic != MAGIC or len(data := file.read(length)) < length:
                return
            start, position = position, position + HEADER.size + length
            yield Record(base + start, base + position, _NAMES.get(stream, "stdout"), time, data)


def _is_record(head: bytes) -> bool:
    """Whether these bytes can be a header; the end of the segment counts as one."""
    if len(head) < HEADER.size:
        return not head
    magic, stream, _, length = HEADER.unpack(head)
    return magic == MAGIC and stream in _NAMES and length <= _MAX_RECORD


def _boundary(descriptor: int, position: int) -> int:
    """The first record boundary at or behind `position`, found by walking from the segment's beginning."""
    place = 0
    while place < position:
        head = os.pread(descriptor, HEADER.size, place)
        if len(head) < HEADER.size:
            break
        place += HEADER.size + int(HEADER.unpack(head)[3])
    return place
