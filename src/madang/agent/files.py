"""Files of a container's work directory, reached without ever leaving it, whatever links the container plants there.

Every path is resolved beneath the directory's descriptor: by openat2 with RESOLVE_BENEATH, or on kernels without it by
a walk that follows no link. What is written belongs to the sandbox's user.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, Literal

from madang.agent.keeper.plan import Identity
from madang.domain.errors import Conflict, MadangError, NotFound, StorageFull, UnsafePath
from madang.domain.ids import new_id
from madang.domain.names import relative_path
from madang.schemas.agent import FileEntry

_OPENAT2: Final = 437
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08
_CHUNK: Final = 1 << 18
_ATTEMPTS: Final = 100
_OPEN_LEVELS: Final = 32  # of one walk; a process may have as few as 1024 files open
_PASSES: Final = 1_000_000  # of removing: a session that goes on making files must not hold us for ever
_LAST_TIME: Final = 253_402_300_799  # the end of the year 9999, in seconds since the epoch

_libc: Final = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    encoded = os.fsencode(path)
    result = _libc.syscall(_OPENAT2, directory, encoded, ctypes.byref(how), ctypes.sizeof(how))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return int(result)


def open_beneath(directory: int, parts: tuple[str, ...], flags: int, *, links: bool) -> int:
    """Open a path beneath a directory; `links`: symbolic links that stay beneath it may be followed."""
    if not parts:
        return os.open(".", flags | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS | (0 if links else _RESOLVE_NO_SYMLINKS)
    for left in reversed(range(_ATTEMPTS)):
        try:
            return _openat2(directory, "/".join(parts), flags, resolve)
        except OSError as error:
            if error.errno == errno.EAGAIN and left:
                continue  # something, anywhere, was renamed while a link went up: the kernel asks to try again
            if error.errno not in (errno.ENOSYS, errno.EPERM):
                raise
            break
    here = os.dup(directory)
    try:
        for part in parts[:-1]:
            below = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        return os.open(parts[-1], flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
    finally:
        os.close(here)


def explain(error: OSError, path: str) -> MadangError:
    """The domain error for what went wrong with a path."""
    shown = path or "."
    if error.errno in (errno.EXDEV, errno.ELOOP):
        return UnsafePath(f"'{shown}' goes through a link that leaves the work directory.")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFound(f"There is no '{shown}' in the work directory.")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull("The node's disk is full; delete files or ask the node's administrator.")
    if error.errno in (errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY):
        return Conflict(f"'{shown}' is a directory or is in the way of one.")
    if error.errno in (errno.ENAMETOOLONG, errno.EINVAL):
        return UnsafePath(f"'{shown[:200]}' is not a name this file system can hold.")
    return Conflict(f"'{shown}': {error.strerror}.")


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn operating system errors into domain errors that name `path`."""
    try:
        yield
    except OSError as error:
        raise explain(error, path) from None


class WorkDirectory:
    """All access to one work directory. Methods block: call them in a thread."""

    def __init__(self, root: Path, identity: Identity | None) -> None:
        self._root = root
        self._identity = identity

    @contextmanager
    def _opened(self, path: str, flags: int, *, links: bool = True) -> Iterator[int]:
        parts = relative_path(path)
        with explained(path):
            root = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                descriptor = open_beneath(root, parts, flags, links=links)
            finally:
                os.close(root)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _own(self, descriptor: int) -> None:
        if self._identity is not None:
            os.fchown(descriptor, self._identity["uid"], self._identity["gid"])

    @contextmanager
    def parent_of(self, path: str) -> Iterator[tuple[int, str]]:
        """The directory that holds `path`, made when missing, and the last part of the path."""
        parts = relative_path(path)
        if not parts:
            raise Conflict("The work directory itself cannot be replaced or deleted.")
        with explained(path):
            here = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for part in parts[:-1]:
                    below = self._enter(here, part)
                    os.close(here)
                    here = below
                yield here, parts[-1]
            finally:
                os.close(here)

    def _enter(self, directory: int, name: str) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        with suppress(FileNotFoundError):
            return os.open(name, flags, dir_fd=directory)
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=directory)
        made = os.open(name, flags, dir_fd=directory)
        self._own(made)
        return made

    def make_directory(self, path: str, mode: int = 0o755) -> None:
        """Make a directory and its parents; one that is there keeps what it holds and takes the mode."""
        if not relative_path(path):
            return
        with self.parent_of(path) as (parent, name):
            made = self._enter(parent, name)
            try:
                os.fchmod(made, (mode & 0o777) | 0o700)
            finally:
                os.close(made)

    def entries(self, path: str) -> list[FileEntry]:
        """The entries of a directory, by name. Raises NotFound, or Conflict when it is a file."""
        with self._opened(path, os.O_RDONLY | os.O_DIRECTORY) as directory:
            base = "/".join(relative_path(path))
            found = []
            for entry in os.scandir(directory):
                with suppress(FileNotFoundError):
                    found.append(
                        _entry(f"{base}/{entry.name}" if base else entry.name, entry.stat(follow_symlinks=False))
                    )
            return sorted(found, key=lambda item: item.path)

    def read(self, path: str, write: Callable[[bytes], object]) -> None:
        """Pass the bytes of a regular file to `write`. Raises NotFound, or Conflict when it is not a file."""
        with self._opened(path, os.O_RDONLY | os.O_NONBLOCK) as descriptor:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Conflict(f"'{path}' is not a file; fetch it as an archive.")
            with explained(path):
                while data := os.read(descriptor, _CHUNK):
                    write(data)

    def write(self, path: str, source: BinaryIO, mode: int = 0o644, limit: int | None = None) -> int:
        """Replace or create a file in one step with what `source` holds; returns its size.

        Raises Conflict when more than `limit` bytes come; nothing is left then.
        """
        with self.parent_of(path) as (parent, name):
            temporary = f".madang-{new_id()}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o600, dir_fd=parent)
            size = 0
            try:
                while data := source.read(_CHUNK):
                    size += len(data)
                    if limit is not None and size > limit:
                        raise Conflict(f"'{path}' is larger than announced.")
                    _write_all(descriptor, data)
                self._own(descriptor)
                os.fchmod(descriptor, (mode & 0o777) | 0o600)
                os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=parent)
                raise
            finally:
                os.close(descriptor)
            return size

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link that stays within the work directory. Raises UnsafePath when it would not."""
        parts = relative_path(path)
        depth = len(parts) - 1
        if "\0" in target:
            raise UnsafePath(f"The target of the link '{path}' contains a NUL character.")
        for part in target.split("/"):
            depth += -1 if part == ".." else 0 if part in ("", ".") else 1
            if depth < 0 or target.startswith("/"):
                raise UnsafePath(f"The link '{path}' points out of the work directory, to '{target[:200]}'.")
        with self.parent_of(path) as (parent, name):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=parent)
            os.symlink(target, name, dir_fd=parent)
            if self._identity is not None:
                uid, gid = self._identity["uid"], self._identity["gid"]
                os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)

    def hard_link(self, path: str, existing: str) -> None:
        """Make a second name for a file that is already there."""
        with self.parent_of(existing) as (source, source_name), self.parent_of(path) as (parent, name):
            found = os.stat(source_name, dir_fd=source, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                raise UnsafePath(f"'{path}' is a hard link to something that is not a file.")
            with suppress(FileNotFoundError):
                if os.path.samestat(found, os.stat(name, dir_fd=parent, follow_symlinks=False)):
                    return  # a file linked to itself, as tar writes one that it was given twice
                os.unlink(name, dir_fd=parent)
            os.link(source_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)

    def delete(self, path: str) -> None:
        """Delete a file, or a directory with all beneath it. Raises NotFound."""
        parts = relative_path(path)
        if not parts:
            raise Conflict("The work directory itself cannot be deleted.")
        with self._opened("/".join(parts[:-1]), os.O_RDONLY | os.O_DIRECTORY) as parent, explained(path):
            mode = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                remove_tree(parent, parts[-1])
            else:
                os.unlink(parts[-1], dir_fd=parent)

    def walk(self, path: str) -> Iterator[tuple[str, os.stat_result, int, str]]:
        """Everything at and beneath `path`: its path, status, and the open directory and name to reach it by."""
        parts = relative_path(path)
        if not parts:
            with self._opened("", os.O_RDONLY | os.O_DIRECTORY) as root:
                yield from _walk(root, "")
            return
        with self._opened("/".join(parts[:-1]), os.O_RDONLY | os.O_DIRECTORY) as parent:
            with explained(path):
                status = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
            yield "/".join(parts), status, parent, parts[-1]
            below = _enter_walk(parent, parts[-1]) if stat.S_ISDIR(status.st_mode) else None
            if below is not None:
                try:
                    yield from _walk(below, "/".join(parts))
                finally:
                    os.close(below)


@dataclass(slots=True)
class _Level:
    """A directory that is being walked through."""

    directory: int  # the open directory; -1 while it is closed to spare descriptors
    path: str
    names: list[str]  # still to be visited, the next one last
    status: os.stat_result

    @classmethod
    def at(cls, directory: int, path: str) -> _Level:
        """Takes the descriptor over, also when the directory cannot be listed."""
        try:
            return cls(directory, path, sorted(os.listdir(directory), reverse=True), os.fstat(directory))
        except OSError:
            os.close(directory)
            raise


def _walk(top: int, base: str) -> Iterator[tuple[str, os.stat_result, int, str]]:
    """Everything beneath a directory. Without recursion: sessions nest directories deeper than Python calls.

    And with few descriptors: they also nest them deeper than a process may have files open.
    """
    stack = [_Level.at(os.dup(top), base)]
    try:
        while stack:
            level = stack[-1]
            if not level.names:
                stack.pop()
                try:
                    if stack and stack[-1].directory < 0 and not _reopen(stack[-1], level.directory):
                        return  # moved away meanwhile, so what is left of it is no longer here
                finally:
                    os.close(level.directory)
                continue
            name = level.names.pop()
            path = f"{level.path}/{name}" if level.path else name
            try:
                status = os.stat(name, dir_fd=level.directory, follow_symlinks=False)
            except FileNotFoundError:  # gone since it was listed
                continue
            yield path, status, level.directory, name
            below = _enter_walk(level.directory, name) if stat.S_ISDIR(status.st_mode) else None
            if below is not None:
                stack.append(_Level.at(below, path))
                if len(stack) > _OPEN_LEVELS:
                    _close(stack[-1 - _OPEN_LEVELS])
    finally:
        for level in stack:
            _close(level)


def _close(level: _Level) -> None:
    if level.directory >= 0:
        os.close(level.directory)
        level.directory = -1


def _reopen(level: _Level, below: int) -> bool:
    """Open a level again from a directory that was in it; False when that one has been moved elsewhere."""
    try:
        directory = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=below)
    except OSError:
        return False
    if not os.path.samestat(os.fstat(directory), level.status):
        os.close(directory)
        return False
    level.directory = directory
    return True


def _enter_walk(directory: int, name: str) -> int | None:
    """Open a directory that was seen; None when it is gone or exchanged for something else since."""
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise explain(error, name) from None


def remove_tree(parent: int, name: str) -> None:
    """Remove a directory and all beneath it, following no link, however deep it is. Raises OSError.

    Directories within are first moved up into the topmost one, so that two open directories and no recursion suffice.
    """
    top = _open_to_empty(parent, name)
    try:
        for _ in range(_PASSES):
            names = os.listdir(top)
            if not names:
                break
            for below in names:
                with suppress(FileNotFoundError):  # somebody else took it away
                    _remove_level(top, below)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _remove_level(top: int, name: str) -> None:
    if not _is_directory(top, name):
        os.unlink(name, dir_fd=top)
        return
    inner = _open_to_empty(top, name)
    try:
        for entry in os.listdir(inner):
            if _is_directory(inner, entry):
                os.close(_open_to_empty(inner, entry))  # only who may write to it may move it
                os.rename(entry, f".madang-{new_id()}", src_dir_fd=inner, dst_dir_fd=top)
            else:
                os.unlink(entry, dir_fd=inner)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)


def _is_directory(directory: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)


def _open_to_empty(directory: int, name: str) -> int:
    """Open a directory, taking back the right to when it was given up."""
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    if os.geteuid() != 0:
        seen = os.open(name, os.O_PATH | flags, dir_fd=directory)
        try:
            with suppress(OSError):  # not ours: opening it tells
                os.chmod(f"/proc/self/fd/{seen}", 0o700)  # what was opened, whatever has the name by now
        finally:
            os.close(seen)
    return os.open(name, os.O_RDONLY | flags, dir_fd=directory)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _entry(path: str, status: os.stat_result) -> FileEntry:
    mode = status.st_mode
    kind: Literal["file", "directory", "symlink", "other"] = "other"
    if stat.S_ISREG(mode):
        kind = "file"
    elif stat.S_ISDIR(mode):
        kind = "directory"
    elif stat.S_ISLNK(mode):
        kind = "symlink"
    # Anybody may give a file a time of any age; one that no calendar has must not hide the others.
    modified = datetime.fromtimestamp(min(max(status.st_mtime, 0), _LAST_TIME), UTC)
    return FileEntry(
        path=os.fsencode(path).decode("utf-8", "replace"), kind=kind, size=status.st_size, modified_at=modified
    )
