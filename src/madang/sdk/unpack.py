"""Unpacks a tar stream that a session made: whatever is in it, nothing is written outside of the directory."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import errno
import os
import stat
import tarfile
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Protocol, cast

from madang.domain.errors import InvalidInput, StorageFull, UnsafePath
from madang.domain.ids import new_id
from madang.domain.names import link_stays, relative_path
from madang.sdk.models import Progress

_CHUNK: Final = 256 << 10


@dataclass(slots=True)
class Unpacked:
    """What came of an archive; paths are relative to the directory."""

    files: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # links that leave the directory, and devices


class Readable(Protocol):
    """Where an archive is read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


async def unpack(chunks: AsyncIterator[bytes], directory: Path, progress: Progress | None = None) -> Unpacked:
    """`unpack_archive` in a thread, fed by `chunks` no faster than it writes."""
    feed = _Feed(chunks, asyncio.get_running_loop())
    work = asyncio.ensure_future(asyncio.to_thread(unpack_archive, feed, directory, progress))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        feed.stop()
        await asyncio.gather(work, return_exceptions=True)
        raise


def unpack_archive(archive: Readable, directory: Path, progress: Progress | None = None) -> Unpacked:
    """Write the members of a tar archive, plain or compressed, beneath `directory`, which is made when missing.

    Each file appears only when it is whole. No path is followed through a symbolic link, also none that was there
    before. Raises UnsafePath for names that are absolute or contain `..`, InvalidInput for what is no archive,
    StorageFull.
    """
    directory.mkdir(parents=True, exist_ok=True)
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    result = Unpacked()
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", archive), mode="r|*", bufsize=_CHUNK) as tar:
            done = 0
            for member in tar:
                _Member(root, tar, member, result).unpack()
                done += member.size
                if progress is not None:
                    progress(done, None)
    except (tarfile.TarError, zlib.error, EOFError):
        raise InvalidInput("What arrived is not a whole tar archive; try again.") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"There is no room left in {directory}.") from None
        raise
    finally:
        os.close(root)
    return result


class _Member:
    def __init__(self, root: int, tar: tarfile.TarFile, member: tarfile.TarInfo, result: Unpacked) -> None:
        self._root = root
        self._tar = tar
        self._member = member
        self._result = result
        self._parts = relative_path(member.name)
        self._name = "/".join(self._parts)

    def unpack(self) -> None:
        if not self._parts:
            return  # the directory itself
        if self._member.isdir():
            with _entered(self._root, self._parts):
                return
        with _entered(self._root, self._parts[:-1]) as parent:
            if self._member.isreg():
                self._write(parent)
            elif self._member.islnk():
                self._copy(parent)
            elif self._member.issym() and link_stays(self._parts[:-1], self._member.linkname):
                self._link(parent)
            else:
                self._result.skipped.append(self._name)

    def _write(self, parent: int) -> None:
        source = self._tar.extractfile(self._member)
        if source is None:
            raise InvalidInput(f"'{self._name}' has no content in the archive.")
        self._save(parent, source)

    def _copy(self, parent: int) -> None:
        """A hard link becomes a copy: two names of one file would let a later member write to both."""
        with _opened(self._root, relative_path(self._member.linkname)) as source:
            if source is None:
                self._result.skipped.append(self._name)
            else:
                self._save(parent, source)

    def _save(self, parent: int, source: Readable) -> None:
        with _beside(parent, self._parts[-1]) as beside:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(beside, flags, 0o600, dir_fd=parent), "wb") as file:
                while chunk := source.read(_CHUNK):
                    file.write(chunk)
                file.flush()
                os.fchmod(file.fileno(), 0o755 if self._member.mode & stat.S_IXUSR else 0o644)
                os.utime(file.fileno(), (self._member.mtime, self._member.mtime))
        self._result.files.append(self._name)

    def _link(self, parent: int) -> None:
        with _beside(parent, self._parts[-1]) as beside:
            os.symlink(self._member.linkname, beside, dir_fd=parent)
        self._result.files.append(self._name)


@contextlib.contextmanager
def _entered(root: int, parts: tuple[str, ...], *, make: bool = True) -> Iterator[int]:
    """A descriptor of the directory `parts` beneath `root`, made where missing, never reached through a link."""
    place = os.dup(root)
    try:
        for part in parts:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=place)
            try:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                raise UnsafePath(f"'{'/'.join(parts)}' leads through '{part}', which is no directory.") from None
            os.close(place)
            place = below
        yield place
    finally:
        os.close(place)


@contextlib.contextmanager
def _opened(root: int, parts: tuple[str, ...]) -> Iterator[IO[bytes] | None]:
    """The regular file `parts` beneath `root`, or None when there is none."""
    with contextlib.ExitStack() as stack:
        try:
            place = stack.enter_context(_entered(root, parts[:-1], make=False))
            descriptor = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
        except (OSError, IndexError, UnsafePath):
            yield None
            return
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            yield None
            return
        yield stack.enter_context(os.fdopen(descriptor, "rb"))


@contextlib.contextmanager
def _beside(parent: int, name: str) -> Iterator[str]:
    """A name to make something under; it takes the place of `name` when that went well."""
    beside = f".{new_id()}"
    try:
        yield beside
        os.replace(beside, name, src_dir_fd=parent, dst_dir_fd=parent)
    except IsADirectoryError:
        raise InvalidInput(f"A directory is in the place of the file '{name}'; move it away.") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=parent)


class _Feed:
    """Reads an asynchronous stream from a thread."""

    def __init__(self, chunks: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self._chunks = chunks
        self._loop = loop
        self._rest = b""
        self._pending: concurrent.futures.Future[bytes] | None = None
        self._stopped = False

    def read(self, size: int, /) -> bytes:
        while not self._rest:
            self._pending = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
            if self._stopped:  # looked at only now: `stop` may not have seen what is pending
                self._pending.cancel()
            try:
                self._rest = self._pending.result()
            except concurrent.futures.CancelledError:
                raise EOFError from None
            if not self._rest:
                return b""
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def stop(self) -> None:
        """Nobody waits any more."""
        self._stopped = True
        if self._pending is not None:
            self._pending.cancel()

    async def _next(self) -> bytes:
        async for chunk in self._chunks:
            if chunk:
                return chunk
        return b""
