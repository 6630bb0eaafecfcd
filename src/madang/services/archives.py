"""Looking through an archive before it is accepted: nothing in it may leave the directory it is unpacked into."""

from __future__ import annotations

import gzip
import posixpath
import tarfile
import zlib
from pathlib import Path
from typing import IO, Final

from madang.domain.errors import InvalidInput, TooLarge, UnsafePath
from madang.domain.names import relative_path
from madang.domain.slots import format_amount
from madang.tars import BoundedMember

_ENTRIES_LIMIT: Final = 1_000_000
_READ: Final = 1 << 18


class _Limited:
    """A stream that ends with TooLarge, so that a small archive cannot unpack into an endless one."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, limit: int) -> None:
        self._stream = stream
        self._left = limit
        self._limit = limit

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(size, _READ) if size >= 0 else _READ)
        self._left -= len(data)
        if self._left < 0:
            raise TooLarge(_too_large(self._limit))
        return data


def check_archive(path: Path, limit: int) -> None:
    """Read a tar or tar.gz file through.

    `limit` is the largest unpacked size in bytes. Raises UnsafePath for a member that is absolute, contains `..`,
    links to outside, or is neither file, directory nor link; TooLarge; InvalidInput when it is no archive.
    """
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            stream = gzip.GzipFile(fileobj=file) if packed else file
            # Headers and padding need room beside the contents.
            _check_members(_Limited(stream, limit * 2 + (64 << 20)), limit)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
            raise InvalidInput(f"The upload is not a whole tar or tar.gz archive: {error}.") from error


def _check_members(stream: _Limited, limit: int) -> None:
    size = 0
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=BoundedMember, bufsize=_READ) as archive:  # type: ignore[call-overload]
        for count, member in enumerate(archive, start=1):
            _check_member(member)
            size += max(member.size, 0)
            if size > limit or count > _ENTRIES_LIMIT:
                raise TooLarge(_too_large(limit))
            archive.members = []  # it would keep every one


def _check_member(member: tarfile.TarInfo) -> None:
    parts = relative_path(member.name)
    if member.issym():
        target = posixpath.normpath(posixpath.join(*parts[:-1], member.linkname))
        if member.linkname.startswith("/") or target == ".." or target.startswith("../"):
            raise UnsafePath(f"The link '{member.name[:200]}' leads out of the archive, to '{member.linkname[:200]}'.")
    elif member.islnk():
        relative_path(member.linkname)
    elif not (member.isfile() or member.isdir()):
        raise UnsafePath(
            f"'{member.name[:200]}' is a device or a pipe; only files, directories and links are accepted."
        )


def _too_large(limit: int) -> str:
    return (
        f"The archive unpacks to more than {format_amount('mem', limit)}. Send less (a .gitignore leaves files out), "
        "or raise MADANG_UPLOAD_LIMIT_BYTES on the server."
    )
