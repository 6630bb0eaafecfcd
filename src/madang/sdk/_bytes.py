"""Bytes on their way: from whatever a caller has to a request, and from a response to a file."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from madang.domain.errors import StorageFull
from madang.domain.ids import new_id
from madang.sdk._transport import Body
from madang.sdk.models import Progress

CHUNK: Final = 256 << 10

Source = bytes | Path | Iterable[bytes] | AsyncIterable[bytes] | Callable[[], Iterable[bytes]]
"""What can be sent: bytes, a file, a stream, or what makes a fresh stream for each attempt."""


def body_of(source: Source) -> tuple[Body, bool]:
    """`source` as a request body, and whether it can be sent a second time."""
    if isinstance(source, bytes):
        return source, True
    if isinstance(source, Path):
        return lambda: _in_thread(_file_chunks(source)), True
    if isinstance(source, AsyncIterable):
        return lambda: source, False
    if callable(source):
        return lambda: _in_thread(iter(source())), True
    return lambda: _in_thread(iter(source)), False


async def save(chunks: AsyncIterator[bytes], target: Path, progress: Progress | None = None) -> None:
    """Write `chunks` to a file beside `target` and put it in place once it is whole. Raises StorageFull."""
    beside = target.with_name(f".{target.name[:100]}.{new_id()}")
    done = 0
    try:
        with beside.open("xb") as file:
            async for chunk in chunks:
                await asyncio.to_thread(file.write, chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, None)
        beside.replace(target)
    except OSError as error:
        raise _told(error, target) from None
    finally:
        beside.unlink(missing_ok=True)


def _told(error: OSError, target: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"There is no room left for {target}.")
    return error


def _file_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


async def _in_thread(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """`chunks` made in a thread, one at a time, so that reading and packing do not hold up the event loop."""
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk
