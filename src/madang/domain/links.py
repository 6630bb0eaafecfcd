"""What a link carries that lets somebody in: a secret behind the `#`, which browsers keep from servers and their logs."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

from madang.domain.errors import NotFound

_PREFIX: Final = "mdl_"
_FORM: Final = re.compile(rf"{_PREFIX}[A-Za-z0-9_-]{{43}}")


def new_secret() -> str:
    """A secret of 256 bits for one link."""
    return _PREFIX + secrets.token_urlsafe(32)


def digest_of(secret: str) -> bytes:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def link_to(base_url: str, page: str, secret: str) -> str:
    """The link to a page of the console, e.g. `https://madang.example.org/invitation#mdl_...`."""
    return f"{base_url.rstrip('/')}/{page}#{secret}"


def read_link(link: str) -> bytes:
    """The digest of a link, or of the bare secret that it ends with. Raises NotFound for what can be neither."""
    secret = link.strip().rpartition("#")[2]
    if not _FORM.fullmatch(secret):
        raise NotFound(
            "That is no link of this platform, or a part of it is missing. Copy it again, to its last letter."
        )
    return digest_of(secret)
