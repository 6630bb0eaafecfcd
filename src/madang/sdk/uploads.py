"""Archives sent ahead of a session, asynchronously."""

from __future__ import annotations

import asyncio
from pathlib import Path

from madang.schemas.api import Upload
from madang.sdk._bytes import Source, body_of
from madang.sdk._transport import API, Transport
from madang.sdk.models import Progress
from madang.sdk.pack import DEFAULT_LIMIT, Manifest, scan


class AsyncUploads:
    """What a session finds in its work directory when it starts."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(
        self,
        source: Source | Manifest,
        *,
        limit_bytes: int = DEFAULT_LIMIT,
        progress: Progress | None = None,
    ) -> Upload:
        """Send a directory (packed on the way, without what .gitignore leaves out), a tar file, or a tar stream.

        Pass a Manifest of `madang.sdk.pack.scan` to look at what will be sent first. Raises TooLarge above
        `limit_bytes` unpacked (which names the largest entries) or the server's own limit, UnsafePath, StorageFull.
        """
        if isinstance(source, Path) and source.is_dir():
            source = await asyncio.to_thread(scan, source, limit_bytes=limit_bytes)
        if isinstance(source, Manifest):
            manifest = source
            body, repeatable = body_of(lambda: manifest.stream(progress))
        else:
            body, repeatable = body_of(source)
        response = await self._transport.call(
            "POST", f"{API}/uploads", body=body, headers={"Content-Type": "application/x-tar"}, repeatable=repeatable
        )
        return self._transport.parse(Upload, response.content)
