"""Files between here and a session, as `cp -r` would place them."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from madang.cli.follow import write_all
from madang.cli.i18n import t
from madang.cli.output import bar, human_bytes, warn
from madang.domain.errors import InvalidInput, NotFound
from madang.domain.names import relative_path

if TYPE_CHECKING:
    from madang.schemas.agent import FileEntry
    from madang.sdk import AsyncClient

_CHUNK: Final = 256 << 10


@dataclass(frozen=True)
class Fetched:
    """What was copied."""

    files: int
    size: int  # bytes


async def remote_entry(client: AsyncClient, ref: str, path: str) -> FileEntry | None:
    """What lies at `path` of the work directory; None for nothing. The work directory itself has no entry."""
    parent, _, name = path.rpartition("/")
    try:
        entries = await client.files.list(ref, parent)
    except NotFound:
        await client.sessions.get(ref)  # an unknown session is an error of its own
        return None
    return next((entry for entry in entries if entry.path.rpartition("/")[2] == name), None)


async def fetch(client: AsyncClient, ref: str, path: str, local: Path) -> Fetched:
    """Copy a file or directory of a session to exactly `local`. Raises NotFound.

    A directory is merged into one that exists. A file replaces a file.
    """
    entry = await remote_entry(client, ref, path) if path else None
    if path and entry is None:
        raise NotFound(t("copy.nothing", path=path))
    if entry is not None and entry.kind != "directory":
        local.parent.mkdir(parents=True, exist_ok=True)
        with bar(t("copy.receiving", path=path)) as progress:
            size = max(entry.size, 1)
            await client.files.download(ref, path, local, lambda done, _: progress(done / size, human_bytes(done)))
        return Fetched(1, local.stat().st_size)
    return await _fetch_directory(client, ref, path, local)


async def _fetch_directory(client: AsyncClient, ref: str, path: str, local: Path) -> Fetched:
    """The archive names everything from the work directory on, so it is unpacked aside and its part moved into place.

    That also keeps what an interrupted transfer leaves out of the way.
    """
    local.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".madang-", dir=local) as scratch:
        with bar(t("copy.receiving", path=path or ".")) as progress:
            result = await client.files.download_directory(
                ref, path, Path(scratch), lambda done, _: progress(0.5, human_bytes(done))
            )
        merge = _Merge(Path(scratch) / path, local, list(result.skipped))
        await asyncio.to_thread(merge.run)
    if merge.skipped:
        warn(t("copy.skipped", names=", ".join(merge.skipped[:5]), count=len(merge.skipped)))
    return Fetched(merge.files, merge.size)


@dataclass
class _Merge:
    """Moves a tree into another, file by file."""

    source: Path
    destination: Path
    skipped: list[str]
    files: int = 0
    size: int = 0

    def run(self) -> None:
        """Raises InvalidInput when a directory is where a file has to go."""
        for directory, directories, names in os.walk(self.source):
            here = Path(directory)
            place = self.destination / here.relative_to(self.source)
            place.mkdir(parents=True, exist_ok=True)
            for name in [*names, *(name for name in directories if (here / name).is_symlink())]:
                self._move(here / name, place / name)

    def _move(self, origin: Path, target: Path) -> None:
        if origin.is_symlink() and not self._stays(origin):
            self.skipped.append(str(origin.relative_to(self.source)))
            return
        if target.is_dir() and not target.is_symlink():
            raise InvalidInput(t("copy.directory_in_the_way", path=target))
        self.size += origin.lstat().st_size
        self.files += 1
        origin.replace(target)

    def _stays(self, link: Path) -> bool:
        """Whether a link points into the part that is moved; it was only made sure that it stays in the whole."""
        return Path(os.path.normpath(link.parent / link.readlink())).is_relative_to(self.source)


async def copy_from(client: AsyncClient, ref: str, path: str, destination: str) -> None:
    """`madang session cp NAME:PATH HERE`; `-` writes a file to standard output."""
    remote = "/".join(relative_path(path))
    if destination == "-":
        async with client.files.open(ref, remote) as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(write_all, sys.stdout.fileno(), chunk)
        return
    local = Path(destination)
    name = remote.rpartition("/")[2]
    if name and (destination.endswith("/") or local.is_dir()):
        local /= name
    await fetch(client, ref, remote, local)


async def copy_to(client: AsyncClient, source: str, ref: str, path: str) -> None:
    """`madang session cp HERE NAME:PATH`; `-` reads a file from standard input."""
    remote = "/".join(relative_path(path))
    if source == "-":
        if not remote or path.endswith("/"):
            raise InvalidInput(t("copy.name_the_file"))
        await client.files.write(ref, remote, _standard_input)
        return
    local = Path(source)
    if not local.exists():
        raise InvalidInput(t("copy.no_local", path=source))
    inside = not remote or path.endswith("/")
    if not inside:
        entry = await remote_entry(client, ref, remote)
        inside = entry is not None and entry.kind == "directory"
    # `dir/.` and `.` mean the contents, as with cp.
    contents = source.endswith("/.") or source == "."
    if inside and not contents:
        remote = f"{remote}/{local.resolve().name}".lstrip("/")
    await _send(client, local, ref, remote)


async def _send(client: AsyncClient, local: Path, ref: str, remote: str) -> None:
    with bar(t("copy.sending", path=local)) as progress:
        if local.is_dir():
            await client.files.upload_directory(
                ref, local, remote, progress=lambda done, total: progress(done / max(total or 1, 1), human_bytes(done))
            )
            return
        size = max(local.stat().st_size, 1)

        def chunks() -> Iterator[bytes]:
            done = 0
            with local.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    done += len(chunk)
                    progress(done / size, human_bytes(done))
                    yield chunk

        await client.files.write(ref, remote, chunks)


def _standard_input() -> Iterator[bytes]:
    while chunk := os.read(0, _CHUNK):
        yield chunk
