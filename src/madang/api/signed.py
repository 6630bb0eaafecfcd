"""Bodies of signed requests: received and compared as a whole before any route sees a byte of them."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import tempfile
from typing import IO, Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from madang.domain.errors import StorageFull, TooLarge
from madang.domain.signing import SCHEME, Signature, check_body
from madang.services.keys import KeyService

BODY: Final = "madang.signed_body"
"""Where the scope of a request has its `HeldBody`."""

_MARK: Final = SCHEME.lower().encode()
_IN_MEMORY: Final = 1 << 20
_PIECE: Final = 256 << 10


class HeldBody:
    """A body that nobody can read before it has been checked."""

    def __init__(self, receive: Receive) -> None:
        self._source = receive
        self._file: IO[bytes] | None = None
        self._left = 0
        self._given = False

    async def check(self, signature: Signature, keys: KeyService) -> None:
        """Receive the body, on disk when it is large. Raises Unauthorized unless it is the one that was signed.

        Also TooLarge, StorageFull, and ClientDisconnect when it breaks off.
        """
        await asyncio.to_thread(keys.spool.mkdir, mode=0o700, parents=True, exist_ok=True)
        file = self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(keys.spool))  # noqa: SIM115 - see close
        digest, more = hashlib.sha256(), True
        while more:
            message = await self._source()
            if message["type"] != "http.request":
                raise ClientDisconnect
            piece, more = message.get("body", b""), message.get("more_body", False)
            self._left += len(piece)
            if self._left > keys.body_limit:
                raise TooLarge(f"The body is larger than {keys.body_limit} bytes. Send less.")
            digest.update(piece)
            await _write(file, piece)
        check_body(signature, digest.hexdigest())
        await asyncio.to_thread(file.seek, 0)

    async def receive(self) -> Message:
        """What the application receives: the body, and then whatever comes."""
        if self._given:
            return await self._source()
        if self._file is None:
            raise RuntimeError("The body of a signed request was read before it was checked.")
        piece = await asyncio.to_thread(self._file.read, _PIECE) if self._left else b""
        self._left -= len(piece)
        self._given = not self._left
        return {"type": "http.request", "body": piece, "more_body": not self._given}

    def close(self) -> None:
        """Forget it."""
        if self._file is not None:
            self._file.close()


class SignedBodies:
    """Holds the bodies of signed requests back; others pass."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _is_signed(scope):
            await self._app(scope, receive, send)
            return
        held = HeldBody(receive)
        try:
            await self._app({**scope, BODY: held}, held.receive, send)
        finally:
            held.close()


def _is_signed(scope: Scope) -> bool:
    return any(name == b"authorization" and value[: len(_MARK)].lower() == _MARK for name, value in scope["headers"])


def target_of(scope: Scope) -> str:
    """The path with its query as it stood in the request line."""
    path: str = scope["raw_path"].decode("latin-1")
    query: str = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


async def _write(file: IO[bytes], piece: bytes) -> None:
    try:
        await asyncio.to_thread(file.write, piece) if len(piece) > _PIECE else file.write(piece)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("The server's disk has no room for this body. Make room and send it again.") from error
        raise
