"""Passwords kept so that a stolen database signs nobody in: Argon2id, in threads of its own."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from madang.domain.errors import InvalidInput
from madang.domain.passwords import MAX_LENGTH, normal
from madang.services.identity.threads import Threads

# More than the least that OWASP advises for Argon2id (46 MiB once, or 19 MiB twice).
_TIME_COST: Final = 2
_MEMORY_KIB: Final = 46 * 1024
_AT_ONCE: Final = 2  # a whole class signing in takes 92 MiB, not 4 GiB


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether a password was right. `renewed`: what to store from now on, where the stored hash is weaker than ours."""

    right: bool
    renewed: str | None = None


class Passwords:
    """Hashes and checks passwords; takes a core for about 0.1 s each time, and never the event loop."""

    def __init__(self, *, time_cost: int = _TIME_COST, memory_kib: int = _MEMORY_KIB) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1, type=Type.ID)
        self._threads = Threads("password", _AT_ONCE)
        # Compared with where there is nobody, so that asking about nobody takes as long as asking about somebody.
        self._nobody = f"$argon2id$v=19$m={memory_kib},t={time_cost},p=1${_random(16)}${_random(32)}"

    async def hash(self, password: str) -> str:
        """What to store of a password. Raises InvalidInput when it cannot be one, Unavailable when too many wait."""
        made = normal(password)
        if made is None:
            raise InvalidInput(f"A password has at most {MAX_LENGTH} characters, all of which can be typed.")
        return await self._threads.run(lambda: self._hasher.hash(made))

    async def check(self, password: str, stored: str | None) -> Checked:
        """Whether this is the stored password; `stored` is None for who has none, or does not exist.

        Takes as long either way. Raises Unavailable when too many wait.
        """
        return await self._threads.run(lambda: self._check(password, stored))

    def close(self) -> None:
        """End the threads when they are done with what they do."""
        self._threads.close()

    def _check(self, password: str, stored: str | None) -> Checked:
        made = normal(password)
        if stored is None or made is None:
            self._matches(self._nobody, "")
            return Checked(False)
        if not self._matches(stored, made):
            return Checked(False)
        renewed = self._hasher.hash(made) if self._hasher.check_needs_rehash(stored) else None
        return Checked(True, renewed)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (InvalidHashError, VerificationError, UnicodeEncodeError):  # the last: it is not even ASCII
            return False


def _random(size: int) -> str:
    return base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")
