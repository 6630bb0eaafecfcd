"""Archives that sessions start with: received, checked, and durable before they are acknowledged."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Final

from madang.db.engine import Database, Transaction
from madang.db.repositories import uploads
from madang.db.rows import UploadRow
from madang.domain.errors import StorageFull, TooLarge
from madang.domain.ids import Clock, new_id
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.domain.slots import format_amount
from madang.faults import write_point
from madang.schemas.api import Upload
from madang.services.archives import check_archive
from madang.services.room import Room

_BLOCK: Final = 1 << 20
PARTIAL: Final = ".part"


class UploadService:
    """Uploads lie in the data directory until a session has unpacked them, at most an hour when none uses them."""

    def __init__(self, database: Database, clock: Clock, directory: Path, limit: int, room: Room) -> None:
        self._database = database
        self._clock = clock
        self._directory = directory
        self._limit = limit
        self._room = room

    async def accept(self, caller: Caller, data: AsyncIterator[bytes]) -> Upload:
        """Receive a tar or tar.gz archive.

        Raises TooLarge (packed or unpacked), UnsafePath for members that are absolute, contain `..`, link outside, or
        are devices, InvalidInput when it is no archive, StorageFull.
        """
        caller.require_scope(Right.SESSION_CREATE)
        self._room.require()
        upload_id = new_id()
        place = self._directory / upload_id
        partial = place.with_suffix(PARTIAL)
        try:
            await asyncio.to_thread(self._directory.mkdir, mode=0o700, parents=True, exist_ok=True)
            size = await self._receive(partial, data)
            await asyncio.to_thread(check_archive, partial, self._limit)
            await asyncio.to_thread(_keep, partial, place)
            row = UploadRow(upload_id, caller.user_id, size, self._clock.now())

            async def save(transaction: Transaction) -> None:
                await uploads.add(transaction, row)

            await self._database.transaction(save, "upload.accept")
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(
                    "The server's disk has no room for this upload. Make room and send it again."
                ) from error
            raise
        finally:
            partial.unlink(missing_ok=True)
        return Upload(id=upload_id, size=size)

    async def _receive(self, path: Path, data: AsyncIterator[bytes]) -> int:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            size = 0
            block = bytearray()
            async for piece in data:
                size += len(piece)
                if size > self._limit:
                    raise TooLarge(
                        f"The upload is larger than {format_amount('mem', self._limit)}. Send less, or raise "
                        "MADANG_UPLOAD_LIMIT_BYTES on the server."
                    )
                block += piece
                if len(block) >= _BLOCK:
                    await asyncio.to_thread(_write_all, file, bytes(block))
                    block.clear()
            await asyncio.to_thread(_write_all, file, bytes(block))
            await asyncio.to_thread(os.fsync, file.fileno())
        return size


def _write_all(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _keep(partial: Path, place: Path) -> None:
    write_point("upload.file:before")
    partial.rename(place)
    directory = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    write_point("upload.file:after")
