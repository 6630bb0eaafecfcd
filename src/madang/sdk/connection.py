"""An address and a credential: what a client needs of a server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field

from madang.domain.names import is_loopback
from madang.domain.signing import authorization
from madang.schemas.base import Wire
from madang.sdk.errors import NoServer

FILE_NAME: Final = "connection.json"
LOCAL: Final = "local"
"""The name under which this machine's own server is chosen like a profile."""


class Connection(Wire):
    """An address and a credential; also the content of the file that `madang up` writes.

    The credential is a token, or a signing key with its secret; with neither, requests are nobody's.
    """

    url: str
    token: str = Field(default="", repr=False)  # never shown by accident
    key: str = ""
    secret: str = Field(default="", repr=False)

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine, so that no proxy is asked on the way."""
        return is_loopback(urlsplit(self.url).hostname or "")

    def authorization(self, method: str, target: str, body: bytes | str = b"") -> dict[str, str]:
        """The header that says whose a request is; `body` is its body, or the SHA-256 of that in hexadecimal."""
        if self.key:
            # Of no query at all no question mark is seen by the server.
            target = target.removesuffix("?")
            now = datetime.now(UTC)
            return {"Authorization": authorization(self.key, self.secret, method, target, body=body, now=now)}
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def checked_url(url: str) -> str:
    """An address as it is kept. Raises NoServer unless it is one of a server."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NoServer(f"'{url}' is not the address of a server; write e.g. http://127.0.0.1:7420.")
    return url.rstrip("/")
