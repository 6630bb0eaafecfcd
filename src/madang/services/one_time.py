"""One-time links: the secret that one carries, what is stored of it, and the address that people are given."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

from madang.domain.errors import InvalidInput

_FORM: Final = re.compile(r"mdl_[A-Za-z0-9_-]{43}")


def new_secret() -> tuple[str, bytes]:
    """A new secret, and its digest, which is what is stored."""
    secret = f"mdl_{secrets.token_urlsafe(32)}"
    return secret, _digest(secret)


def digest_of(link: str) -> bytes:
    """The digest of what a link carries, given the whole address or the secret alone. Raises InvalidInput."""
    secret = link.strip().rpartition("#")[2]
    if not _FORM.fullmatch(secret):
        raise InvalidInput("That is not a whole link. Copy all of it, up to its last letter.")
    return _digest(secret)


def address(base: str, page: str, secret: str) -> str:
    """The address of a page that carries the secret where neither servers nor their logs see it."""
    return f"{base.rstrip('/')}/{page}#{secret}"


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
