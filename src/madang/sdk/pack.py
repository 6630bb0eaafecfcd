"""Packs a directory into a tar.gz stream: without what Git ignores, limited, the same bytes for the same files."""

from __future__ import annotations

import os
import stat
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from madang.domain.errors import Conflict, InvalidInput, TooLarge
from madang.domain.names import link_stays
from madang.sdk.ignore import Rules, rules_above
from madang.sdk.models import Progress

DEFAULT_LIMIT: Final = 1 << 30
"""Bytes, unpacked; what a server takes unless it is told otherwise."""

_CHUNK: Final = 256 << 10
_NEVER: Final = frozenset({".git"})
_NAMED: Final = 5  # entries that an error of size names
_LEVEL: Final = 1  # speed matters more than the last percent: the way is short


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory or symbolic link to pack."""

    name: str  # relative to the directory, parts joined by "/"
    kind: bytes  # as tarfile says it
    size: int = 0
    executable: bool = False
    modified: int = 0  # seconds
    target: str = ""  # of a symbolic link


@dataclass(frozen=True, slots=True)
class Manifest:
    """What will be packed, and what was left out though nobody asked for that."""

    root: Path
    entries: tuple[Entry, ...]
    size: int  # bytes of all files
    skipped: tuple[str, ...]  # links that leave the directory, sockets, pipes, devices

    def stream(self, progress: Progress | None = None) -> Iterator[bytes]:
        """The archive, piece by piece. Raises Conflict when a file changes while it is read."""
        squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)  # a gzip header without name and time
        done = 0
        for entry in self.entries:
            yield from _nonempty(squeeze.compress(_header(entry)))
            if entry.kind != tarfile.REGTYPE:
                continue
            for chunk in _read(self.root, entry):
                done += len(chunk)
                yield from _nonempty(squeeze.compress(chunk))
                if progress is not None:
                    progress(done, self.size)
            yield from _nonempty(squeeze.compress(b"\0" * (-entry.size % tarfile.BLOCKSIZE)))
        yield from _nonempty(squeeze.compress(b"\0" * (2 * tarfile.BLOCKSIZE)) + squeeze.flush())


def scan(directory: Path, *, limit_bytes: int = DEFAULT_LIMIT) -> Manifest:
    """Find out what to pack.

    Raises TooLarge above `limit_bytes`, naming what takes the most; InvalidInput when `directory` or something in it
    cannot be read.
    """
    root = directory.resolve()
    if not root.is_dir():
        raise InvalidInput(f"'{directory}' is not a directory.")
    scanner = _Scanner(root)
    scanner.walk(root, rules_above(root))
    size = sum(entry.size for entry in scanner.entries)
    if size > limit_bytes:
        raise TooLarge(_too_large(directory, size, limit_bytes, scanner.entries))
    return Manifest(root, tuple(scanner.entries), size, tuple(scanner.skipped))


class _Scanner:
    def __init__(self, root: Path) -> None:
        self._root = root
        self.entries: list[Entry] = []
        self.skipped: list[str] = []

    def walk(self, directory: Path, outer: Rules) -> None:
        rules = outer.within(directory)
        try:
            with os.scandir(directory) as found:
                items = sorted(found, key=lambda item: item.name)
        except OSError as error:
            raise InvalidInput(
                f"Cannot read {directory}: {error.strerror}. Ignore it in .gitignore, or fix it."
            ) from None
        for item in items:
            path = directory / item.name
            is_directory = item.is_dir(follow_symlinks=False)
            if item.name in _NEVER or rules.ignores(path, is_directory=is_directory):
                continue
            self._add(path, item.stat(follow_symlinks=False))
            if is_directory:
                self.walk(path, rules)

    def _add(self, path: Path, status: os.stat_result) -> None:
        name, modified = path.relative_to(self._root).as_posix(), int(status.st_mtime)
        if stat.S_ISDIR(status.st_mode):
            self.entries.append(Entry(name, tarfile.DIRTYPE, executable=True, modified=modified))
        elif stat.S_ISREG(status.st_mode):
            executable = bool(status.st_mode & stat.S_IXUSR)
            self.entries.append(Entry(name, tarfile.REGTYPE, status.st_size, executable, modified))
        elif stat.S_ISLNK(status.st_mode) and self._stays(path):
            target = str(path.readlink())
            self.entries.append(Entry(name, tarfile.SYMTYPE, executable=True, modified=modified, target=target))
        else:
            self.skipped.append(name)

    def _stays(self, link: Path) -> bool:
        """Whether a link points into the directory, by its letters and also in truth."""
        directory = link.relative_to(self._root).parts[:-1]
        return link_stays(directory, str(link.readlink())) and link.resolve().is_relative_to(self._root)


def _header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.name)
    info.type, info.size, info.mtime, info.linkname = entry.kind, entry.size, entry.modified, entry.target
    info.mode = 0o755 if entry.executable else 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _read(root: Path, entry: Entry) -> Iterator[bytes]:
    """Exactly as many bytes as the header promised."""
    left = entry.size
    try:
        with (root / entry.name).open("rb") as file:
            while left and (chunk := file.read(min(left, _CHUNK))):
                left -= len(chunk)
                yield chunk
    except OSError as error:
        raise InvalidInput(
            f"Cannot read {entry.name}: {error.strerror}. Ignore it in .gitignore, or make it readable."
        ) from None
    if left:
        raise Conflict(f"{entry.name} became shorter while it was packed; try again when nothing writes to it.")


def _nonempty(data: bytes) -> Iterator[bytes]:
    if data:
        yield data


def _too_large(directory: Path, size: int, limit: int, entries: list[Entry]) -> str:
    totals: Counter[str] = Counter()
    for entry in entries:
        top, slash, _ = entry.name.partition("/")
        totals[top + slash] += entry.size
    largest = ", ".join(f"{name} ({_human(amount)})" for name, amount in totals.most_common(_NAMED))
    return (
        f"'{directory}' holds {_human(size)}, more than the {_human(limit)} that can be sent. The largest in it: "
        f"{largest}. Name what the job does not need in .gitignore."
    )


def _human(size: int) -> str:
    amount = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
