"""Tar streams into and out of a work directory. Hostile archives are refused at the first bad member."""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, Final, cast

from madang.agent.files import WorkDirectory, explain, explained
from madang.domain.errors import InvalidInput, TooLarge, UnsafePath
from madang.domain.names import relative_path
from madang.domain.slots import format_amount
from madang.tars import BoundedMember

_MEMBERS: Final = 1_000_000


class _Writer:
    """The least that tarfile wants of a stream to write to."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def write(self, data: bytes) -> int:
        self._write(data)
        return len(data)


def unpack(directory: WorkDirectory, source: BinaryIO, base: str, limit: int) -> None:
    """Unpack a tar stream, plain or compressed, beneath `base`; at most `limit` bytes of files. Blocks.

    Raises UnsafePath for a member or link that leaves, a device or a pipe; TooLarge; InvalidInput when it is no tar.
    """
    relative_path(base)
    total = 0
    try:
        with tarfile.open(fileobj=source, mode="r|*", tarinfo=BoundedMember) as archive:
            for count, member in enumerate(archive):
                total += max(member.size, 0) if member.isreg() else 0
                if total > limit or count >= _MEMBERS:
                    raise TooLarge(f"The archive holds more than {format_amount('mem', limit)} or {_MEMBERS} files.")
                _place(directory, archive, member, base)
                archive.members = []  # type: ignore[attr-defined] # it would keep every one
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise InvalidInput(f"The archive cannot be read as tar or tar.gz: {error}.") from None


def _place(directory: WorkDirectory, archive: tarfile.TarFile, member: tarfile.TarInfo, base: str) -> None:
    parts = relative_path(member.name)
    path = "/".join((*relative_path(base), *parts))
    if member.isdir():
        directory.make_directory(path, member.mode)
    elif not parts:
        raise UnsafePath(f"The archive's member '{member.name[:200]}' has no name.")
    elif member.isreg():
        content = archive.extractfile(member)
        if content is not None:
            directory.write(path, cast(BinaryIO, content), member.mode, member.size)
    elif member.issym():
        directory.link(path, member.linkname)
    elif member.islnk():
        directory.hard_link(path, "/".join((*relative_path(base), *relative_path(member.linkname))))
    else:
        raise UnsafePath(f"The archive's member '{member.name[:200]}' is a device or pipe.")


def pack(directory: WorkDirectory, path: str, write: Callable[[bytes], object]) -> None:
    """Pack a file or directory as a tar stream with names relative to the work directory. Blocks.

    Devices, sockets and pipes are left out; a file that shrinks meanwhile is padded with zeros as tar demands.
    """
    writer = cast(BinaryIO, _Writer(write))
    with tarfile.open(fileobj=writer, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name, status, parent, entry in directory.walk(path):
            member = tarfile.TarInfo(name)
            member.mode = stat.S_IMODE(status.st_mode) & 0o777
            member.mtime = int(status.st_mtime)
            if stat.S_ISDIR(status.st_mode):
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            elif stat.S_ISLNK(status.st_mode):
                member.type = tarfile.SYMTYPE
                with suppress(OSError):  # gone, or no link any more, since it was looked at
                    member.linkname = os.readlink(entry, dir_fd=parent)
                if member.linkname:
                    archive.addfile(member)
            elif stat.S_ISREG(status.st_mode):
                _pack_file(archive, member, parent, entry)


def _pack_file(archive: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
            return  # gone, or no file any more, since it was looked at
        raise explain(error, member.name) from None
    with explained(member.name), open(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode):
            member.size = status.st_size
            archive.addfile(member, cast(BinaryIO, _Padded(file, member.size)))


class _Padded:
    """A file of a promised size."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, count: int = -1) -> bytes:
        wanted = self._left if count < 0 else min(count, self._left)
        data = self._file.read(wanted)
        data += bytes(wanted - len(data))
        self._left -= wanted
        return data
