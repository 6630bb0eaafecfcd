"""Files of a session's work directory, asynchronously."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from madang.domain.errors import InvalidInput
from madang.domain.names import relative_path
from madang.schemas.api import FileEntry, Page
from madang.sdk._bytes import Source, body_of, save
from madang.sdk._transport import API, Transport
from madang.sdk.models import Progress
from madang.sdk.pack import DEFAULT_LIMIT, scan
from madang.sdk.unpack import Unpacked, unpack

_TAR: Final = {"Content-Type": "application/x-tar"}
_BYTES: Final = {"Content-Type": "application/octet-stream"}


class AsyncFiles:
    """Paths are relative to the work directory. Errors of all: NotFound, Conflict before the session has a node."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self, ref: str, path: str = "") -> list[FileEntry]:
        """The entries of a directory."""
        page = await self._transport.get(Page[FileEntry], f"{API}/sessions/{ref}/files", {"path": path})
        return page.items

    async def read(self, ref: str, path: str) -> bytes:
        """A whole file in memory; use `download` for large ones."""
        return (await self._transport.call("GET", _file(ref, path))).content

    @contextlib.asynccontextmanager
    async def open(self, ref: str, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """A file as it arrives: `async with files.open(...) as chunks`."""
        async with self._transport.download(_file(ref, path)) as chunks:
            yield chunks

    async def download(self, ref: str, path: str, target: Path, progress: Progress | None = None) -> None:
        """Save a file at `target`, which is replaced only when all of it has arrived."""
        async with self._transport.download(_file(ref, path)) as chunks:
            await save(chunks, target, progress)

    async def write(self, ref: str, path: str, data: Source) -> None:
        """Create or replace a file: it is there as a whole, or as it was before."""
        body, repeatable = body_of(data)
        await self._transport.call("PUT", _file(ref, path), body=body, headers=_BYTES, repeatable=repeatable)

    async def delete(self, ref: str, path: str) -> None:
        """Delete a file, or a directory with all beneath it."""
        await self._transport.call("DELETE", _file(ref, path))

    async def upload_directory(
        self,
        ref: str,
        directory: Path,
        path: str = "",
        *,
        limit_bytes: int = DEFAULT_LIMIT,
        progress: Progress | None = None,
    ) -> None:
        """Put what is in a local directory beneath `path`, but what its .gitignore files leave out."""
        manifest = await asyncio.to_thread(scan, directory, limit_bytes=limit_bytes)
        await self.write_archive(ref, path, lambda: manifest.stream(progress))

    async def write_archive(self, ref: str, path: str, archive: Source) -> None:
        """Unpack a tar archive, plain or gzip, beneath `path`."""
        body, repeatable = body_of(archive)
        await self._transport.call(
            "PUT",
            f"{API}/sessions/{ref}/archive",
            params={"path": path},
            body=body,
            headers=_TAR,
            repeatable=repeatable,
        )

    @contextlib.asynccontextmanager
    async def open_archive(self, ref: str, path: str = "") -> AsyncIterator[AsyncIterator[bytes]]:
        """A file or directory as a tar archive as it arrives."""
        async with self._transport.download(f"{API}/sessions/{ref}/archive", {"path": path}) as chunks:
            yield chunks

    async def download_directory(
        self, ref: str, path: str, directory: Path, progress: Progress | None = None
    ) -> Unpacked:
        """Unpack a file or directory beneath a local directory; returns what was written and what was left out.

        Nothing is written outside of `directory`, whatever the session put into its files.
        """
        async with self.open_archive(ref, path) as chunks:
            return await unpack(chunks, directory, progress)


def _file(ref: str, path: str) -> str:
    parts = relative_path(path)
    if not parts:
        raise InvalidInput("Name a file; the work directory itself is not one.")
    return f"{API}/sessions/{ref}/files/{quote('/'.join(parts), safe='/')}"
