"""Which server a client speaks to, and with which credential.

What it is told; then MADANG_URL with MADANG_TOKEN, or with MADANG_KEY and MADANG_SECRET; then the profile of
MADANG_PROFILE, the default profile, and this machine's own server.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from madang.paths import default_data_dir
from madang.sdk.connection import FILE_NAME, LOCAL, Connection, checked_url
from madang.sdk.errors import NoServer
from madang.sdk.profiles import read_profiles


def connection_file() -> Path:
    """Where `madang up` on this machine leaves its address and first token."""
    directory = os.environ.get("MADANG_DATA_DIR")
    return (Path(directory) if directory else default_data_dir()) / FILE_NAME


def find_connection(
    url: str | None = None,
    token: str | None = None,
    *,
    key: str | None = None,
    secret: str | None = None,
    profile: str | None = None,
) -> Connection:
    """The connection to use. Raises NoServer with what to do when there is none."""
    return find_named(url, token, key=key, secret=secret, profile=profile)[1]


def find_named(
    url: str | None = None,
    token: str | None = None,
    *,
    key: str | None = None,
    secret: str | None = None,
    profile: str | None = None,
) -> tuple[str | None, Connection]:
    """The same, and the name of the profile that it is of; None for none. Raises NoServer."""
    if profile is None:
        given = _given(url, token, key, secret)
        if given is not None:
            return None, _checked(given)
    wanted = profile or os.environ.get("MADANG_PROFILE") or None
    if wanted != LOCAL:
        profiles = read_profiles()
        wanted = wanted or profiles.default
        if wanted is not None:
            return wanted, _checked(profiles.get(wanted))
    return None, _checked(_read(connection_file()))


def _given(url: str | None, token: str | None, key: str | None, secret: str | None) -> Connection | None:
    """What arguments or variables say; None when they say nothing."""
    told = token is not None or key is not None
    url = url or os.environ.get("MADANG_URL")
    token = token or (None if told else os.environ.get("MADANG_TOKEN"))
    key = key or (None if told or token else os.environ.get("MADANG_KEY"))
    secret = secret or os.environ.get("MADANG_SECRET")
    if url and token:
        return Connection(url=url, token=token)
    if url and key:
        if not secret:
            raise NoServer(f"The secret of the signing key {key} is missing: set MADANG_SECRET.")
        return Connection(url=url, key=key, secret=secret)
    if url:
        raise NoServer(f"A token for {url} is missing: set MADANG_TOKEN.")
    if token:
        raise NoServer("MADANG_TOKEN is set but MADANG_URL is not: set both, or neither to use this machine's server.")
    if key:
        raise NoServer("MADANG_KEY is set but MADANG_URL is not: set MADANG_URL, MADANG_KEY and MADANG_SECRET.")
    return None


def _read(path: Path) -> Connection:
    try:
        return Connection.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise NoServer(
            "No server is known: start one with `madang up`, sign in to one with `madang login URL`, or set MADANG_URL "
            "and MADANG_TOKEN."
        ) from None
    except PermissionError:
        raise NoServer(f"{path} belongs to another user: set MADANG_URL and MADANG_TOKEN to your own.") from None
    except (OSError, ValidationError):
        raise NoServer(f"{path} cannot be read; `madang up` writes it anew.") from None


def _checked(connection: Connection) -> Connection:
    url = checked_url(connection.url)
    for one in (connection.token, connection.key, connection.secret):
        if not one.isascii() or (one and not one.isprintable()) or " " in one:
            raise NoServer("The token contains characters that no token has; copy it again.")
    return connection.model_copy(update={"url": url})
