"""Which server a client speaks to: what it is told, then MADANG_URL and MADANG_TOKEN, then this machine's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from madang.domain.names import is_loopback
from madang.paths import default_data_dir
from madang.schemas.base import Wire
from madang.sdk.errors import NoServer

FILE_NAME: Final = "connection.json"


class Connection(Wire):
    """An address and a credential; also the content of the file that `madang up` writes."""

    url: str
    token: str = Field(repr=False)  # never shown by accident

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine, so that no proxy is asked on the way."""
        return is_loopback(urlsplit(self.url).hostname or "")


def connection_file() -> Path:
    """Where `madang up` on this machine leaves its address and first token."""
    directory = os.environ.get("MADANG_DATA_DIR")
    return (Path(directory) if directory else default_data_dir()) / FILE_NAME


def find_connection(url: str | None = None, token: str | None = None) -> Connection:
    """The connection to use. Raises NoServer with what to do when there is none."""
    url = url or os.environ.get("MADANG_URL")
    token = token or os.environ.get("MADANG_TOKEN")
    if url and token:
        return _checked(Connection(url=url, token=token))
    if url:
        raise NoServer(f"A token for {url} is missing: set MADANG_TOKEN.")
    if token:
        raise NoServer("MADANG_TOKEN is set but MADANG_URL is not: set both, or neither to use this machine's server.")
    return _checked(_read(connection_file()))


def _read(path: Path) -> Connection:
    try:
        return Connection.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise NoServer("No server is known: start one with `madang up`, or set MADANG_URL and MADANG_TOKEN.") from None
    except PermissionError:
        raise NoServer(f"{path} belongs to another user: set MADANG_URL and MADANG_TOKEN to your own.") from None
    except (OSError, ValidationError):
        raise NoServer(f"{path} cannot be read; `madang up` writes it anew.") from None


def _checked(connection: Connection) -> Connection:
    parts = urlsplit(connection.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NoServer(f"'{connection.url}' is not the address of a server; write e.g. http://127.0.0.1:7420.")
    if not connection.token.isascii() or not connection.token.isprintable() or " " in connection.token:
        raise NoServer("The token contains characters that no token has; copy it again.")
    return connection.model_copy(update={"url": connection.url.rstrip("/")})
