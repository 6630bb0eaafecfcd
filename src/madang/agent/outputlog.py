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
        self._dropped_at = 0
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
        kept = 0
        try:
            self._record_loss(time)
            for start in range(0, len(data), self._record_limit):
                self._append(stream, data[start : start + self._record_limit], time)
                kept = start + self._record_limit
        except OSError:
            self._dropped += max(len(data) - kept, 0)
            self._dropped_at = time

    def _record_loss(self, time: int) -> None:
        if self._dropped:
            self._append(DROPPED, str(self._dropped).encode(), time)
            self._dropped = 0

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
        with contextlib.suppress(OSError):  # the disk is full still
            self._record_loss(self._dropped_at)
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.fdatasync(self._file)
            os.close(self._file)
            self._file = -1
        os.close(self._directory)


def read_output(directory: str, cursor: int, limit: int) -> tuple[list[Record], int]:
    """Records from `cursor` on, about `limit` bytes of them; and how many bytes before them are gone.

    A cursor before the oldest segment continues there; one inside a record (nobody was given such a one) continues at
    the next record; a negative one counts back from the end, to the beginning of the record it falls into.
    """
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return [], 0
    try:
        bases = _segments(handle)
        if not bases:
            return [], 0
        last = bases[-1] + os.stat(_segment_name(bases[-1]), dir_fd=handle).st_size
        # Not behind the end: no file system can seek as far as a cursor may be written.
        cursor = min(cursor, last) if cursor >= 0 else _record_at(handle, bases, last + cursor)
        gone = max(0, bases[0] - cursor)
        cursor = max(cursor, bases[0])
        records: list[Record] = []
        size = 0
        for index, base in enumerate(bases):
            following = bases[index + 1] if index + 1 < len(bases) else last
            if following <= cursor and index + 1 < len(bases):
                continue
            try:
                for record in _read_segment(handle, base, cursor):
                    records.append(record)
                    size += record.end - record.start
                    if size >= limit:
                        return records, gone
            except FileNotFoundError:  # rotated away since it was listed
                if records:
                    return records, gone  # who reads on from here is told
                gone += following - max(cursor, base)
        return records, gone
    finally:
        os.close(handle)


def _read_segment(directory: int, base: int, cursor: int) -> Iterator[Record]:
    descriptor = os.open(_segment_name(base), os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
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


def _record_at(directory: int, bases: list[int], position: int) -> int:
    """Where the newest whole record that begins at or before `position` begins; else where the oldest does.

    Found by walking from a segment's beginning: at any other place a program may have written what looks like a record.
    """
    for base in reversed(bases):
        if base > position:
            continue
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(_segment_name(base), os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
            try:
                found = _last_start(descriptor, position - base)
            finally:
                os.close(descriptor)
            if found is not None:
                return base + found
    return bases[0]


def _last_start(descriptor: int, position: int) -> int | None:
    size = os.fstat(descriptor).st_size
    found, place = None, 0
    while place <= position and len(head := os.pread(descriptor, HEADER.size, place)) == HEADER.size:
        following = place + HEADER.size + int(HEADER.unpack(head)[3])
        if following > size:
            break
        found, place = place, following
    return found


def _boundary(descriptor: int, position: int) -> int:
    """The first record boundary at or behind `position`, found by walking from the segment's beginning."""
    place = 0
    while place < position:
        head = os.pread(descriptor, HEADER.size, place)
        if len(head) < HEADER.size:
            break
        place += HEADER.size + int(HEADER.unpack(head)[3])
    return place
