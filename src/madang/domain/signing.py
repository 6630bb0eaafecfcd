"""Requests signed with a key pair, for machines that must not send a bearer secret: the format and its rules.

One header holds it all:

    Authorization: Madang-HMAC-SHA256 key=mdk_..., date=2026-11-23T12:00:00Z, nonce=..., body=..., signature=...

`body` is the SHA-256 of the body in hexadecimal, that of nothing where there is none. `signature` is, in hexadecimal,
HMAC-SHA256 with the secret over five lines with a line end between them: the method, the path with its query exactly
as in the request line, date, nonce, body. docs/signing.md shows it in a shell.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from madang.domain.errors import InvalidInput, Unauthorized

SCHEME: Final = "Madang-HMAC-SHA256"
SKEW: Final = timedelta(minutes=5)
EMPTY: Final = hashlib.sha256().hexdigest()
"""The digest of no body."""
KEY_PREFIX: Final = "mdk_"
SECRET_PREFIX: Final = "mds_"  # noqa: S105 - what secrets begin with

_HEADER_AT_MOST: Final = 1024
_DATE: Final = "%Y-%m-%dT%H:%M:%SZ"
_FIELDS: Final = {
    "key": re.compile(r"mdk_[A-Za-z0-9_-]{16,64}"),
    "date": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII),
    "nonce": re.compile(r"[A-Za-z0-9_-]{16,64}"),
    "body": re.compile(r"[0-9a-f]{64}"),
    "signature": re.compile(r"[0-9a-f]{64}"),
}
_METHOD: Final = re.compile(r"[A-Z]{1,20}")
_TARGET: Final = re.compile(r"/[!-~]*")
_EXAMPLE: Final = f"{SCHEME} key=mdk_..., date=2026-11-23T12:00:00Z, nonce=..., body=..., signature=..."


@dataclass(frozen=True, slots=True)
class Signature:
    """What the header of a signed request says. Nothing of it is true until it has been checked."""

    key_id: str
    date: datetime
    nonce: str
    body: str
    signature: str

    @property
    def good_until(self) -> datetime:
        """From then on it is too old, so it need not be remembered any longer to be refused a second time."""
        return self.date + SKEW

    @property
    def mark(self) -> bytes:
        """What to remember of it, 32 bytes, so that it is good once."""
        return hashlib.sha256(f"{self.key_id} {self.signature}".encode()).digest()


def new_key_id() -> str:
    """A name for a new key; no secret."""
    return KEY_PREFIX + secrets.token_urlsafe(15)


def new_secret() -> str:
    """A new secret of 256 bits, shown once."""
    return SECRET_PREFIX + secrets.token_urlsafe(32)


def is_signed(authorization: str) -> bool:
    """Whether a header is meant to be a signature."""
    return authorization.partition(" ")[0].lower() == SCHEME.lower()


def parse(authorization: str) -> Signature:
    """Read the header. Raises Unauthorized saying which part is not as it should be."""
    if len(authorization) > _HEADER_AT_MOST or not is_signed(authorization):
        raise Unauthorized(f"The Authorization header is no signature; it looks like this: {_EXAMPLE}")
    found: dict[str, str] = {}
    for part in authorization.partition(" ")[2].split(","):
        name, _, value = part.strip().partition("=")
        if name not in _FIELDS or name in found:
            raise Unauthorized(
                f"'{name[:40]}' is unknown in a signature, or twice in it; it looks like this: {_EXAMPLE}"
            )
        found[name] = value
    for name, form in _FIELDS.items():
        if not form.fullmatch(found.get(name, "")):
            raise Unauthorized(f"'{name}' is missing in the signature or malformed; it looks like this: {_EXAMPLE}")
    try:
        date = datetime.strptime(found["date"], _DATE).replace(tzinfo=UTC)
    except ValueError:
        raise Unauthorized(f"There is no such date as {found['date']}.") from None
    return Signature(found["key"], date, found["nonce"], found["body"], found["signature"])


def check_date(signature: Signature, now: datetime) -> None:
    """Raises Unauthorized when the two clocks are more than five minutes apart, telling both times."""
    apart = signature.date - now
    if abs(apart) <= SKEW:
        return
    way = "ahead of" if apart > timedelta() else "behind"
    minutes = abs(apart).total_seconds() / 60
    raise Unauthorized(
        f"The request was signed at {signature.date:{_DATE}}, and it is {now.astimezone(UTC):{_DATE}} here: "
        f"{minutes:,.0f} minutes {way} the server, at most {SKEW.seconds // 60} are allowed. Set the clock of your "
        "machine, and sign each request when it is sent."
    )


def check_signature(signature: Signature, secret: str, method: str, target: str) -> None:
    """Raises Unauthorized unless the holder of the secret signed this very request.

    `target`: the path with its query as it stood in the request line. Compares in constant time.
    """
    text = _text(method, target, signature.date, signature.nonce, signature.body)
    if not hmac.compare_digest(_sign(secret, text), signature.signature):
        raise Unauthorized(
            f"The signature does not fit the request. The server signed these lines: {text!r}. If yours are the same, "
            "the secret is another one."
        )


def check_body(signature: Signature, digest: str) -> None:
    """Raises Unauthorized unless the body that came, by its SHA-256 in hexadecimal, is the one that was signed."""
    if not hmac.compare_digest(digest.encode(), signature.body.encode()):
        raise Unauthorized(
            f"The body is not the one that was signed: its SHA-256 is {digest}, signed was {signature.body}."
        )


def authorization(key_id: str, secret: str, method: str, target: str, *, body: bytes | str, now: datetime) -> str:
    """The header for a request that is sent now; `body` is the body, or its SHA-256 in hexadecimal.

    Raises InvalidInput when method or target cannot be sent like that.
    """
    nonce = secrets.token_urlsafe(16)
    digest = body if isinstance(body, str) else hashlib.sha256(body).hexdigest()
    try:
        signature = _sign(secret, _text(method, target, now, nonce, digest))
    except Unauthorized as error:
        raise InvalidInput(error.message) from None
    date = now.astimezone(UTC).strftime(_DATE)
    return f"{SCHEME} key={key_id}, date={date}, nonce={nonce}, body={digest}, signature={signature}"


def _text(method: str, target: str, date: datetime, nonce: str, body: str) -> str:
    """The lines that are signed. None of the parts can hold a line end, so no two requests have the same lines."""
    if not _METHOD.fullmatch(method) or not _TARGET.fullmatch(target):
        raise Unauthorized(
            f"A request '{method[:20]} {target[:80]}' cannot be signed: the method is in capital letters, and the path "
            "begins with / and has everything else than ASCII written as %XX."
        )
    return "\n".join((method, target, date.astimezone(UTC).strftime(_DATE), nonce, body))


def _sign(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
