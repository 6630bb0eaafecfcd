"""Checking signed requests: whose key it is, that it is used rightly, and that no request comes twice.

The server needs the secret to check with, so it is sealed (`sealed.py`), not hashed. It could be derived from the
server's key instead; then whoever gets hold of that key would have every secret without the database, and the key
could never be changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from madang.domain.errors import Unauthorized
from madang.domain.ids import Clock
from madang.domain.signing import Signature, check_date, check_signature, new_key_id, new_secret, parse
from madang.services.identity.sealed import Sealer


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key pair. The id and the sealed secret are stored; the secret itself is shown once."""

    key_id: str
    secret: str = field(repr=False)
    sealed: str


class SigningKeys(Protocol):
    """Where keys are kept, and what was seen of them; shared by all managers."""

    async def sealed_secret(self, key_id: str) -> str | None:
        """The sealed secret of a key that is in force; None when it is unknown, expired or revoked."""

    async def first_seen(self, mark: bytes, until: datetime) -> bool:
        """Remember a mark of 32 bytes at least until then; False when it is remembered already.

        One insert that does nothing on a conflict; two at once must not both be told True.
        """


class RequestSigning:
    """Makes keys and checks what was signed with them."""

    def __init__(self, keys: SigningKeys, sealer: Sealer, clock: Clock) -> None:
        self._keys = keys
        self._sealer = sealer
        self._clock = clock

    def new_key(self) -> NewKey:
        """A key pair that is nobody's until it is stored."""
        key_id, secret = new_key_id(), new_secret()
        return NewKey(key_id, secret, self._sealer.seal(secret, _purpose(key_id)))

    async def check(self, authorization: str, method: str, target: str) -> Signature:
        """The signature of a request, whose key is in force and whose head is as it was signed, seen the first time.

        The body has still to be compared, with `domain.signing.check_body`, before anything is done. `target` is the
        path with its query as it came. Raises Unauthorized; Unavailable when the secret cannot be unsealed.
        """
        signature = parse(authorization)
        check_date(signature, self._clock.now())
        sealed = await self._keys.sealed_secret(signature.key_id)
        if sealed is None:
            raise Unauthorized(f"The signing key {signature.key_id} is not in force here: unknown, expired or revoked.")
        check_signature(signature, self._sealer.unseal(sealed, _purpose(signature.key_id)), method, target)
        if not await self._keys.first_seen(signature.mark, signature.good_until):
            raise Unauthorized("This very request was sent before. Sign each request anew, with a nonce of its own.")
        return signature


def _purpose(key_id: str) -> str:
    return f"signing:{key_id}"
