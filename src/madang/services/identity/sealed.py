"""Secrets that have to be readable again, sealed with a key that is in a file and never in the database."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from madang.domain.errors import StartupError, Unavailable

FILE_NAME: Final = "secret.key"

_FORMAT: Final = "s1"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_FILE_AT_MOST: Final = 65_536


class Sealer:
    """Seals with AES-256-GCM. What is sealed is bound to a purpose, so it cannot be moved to another row of a table.

    The first key seals and all of them open: to change the key, put a new one into the first line of the file.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_fingerprint(key): AESGCM(key) for key in keys}
        self._digest_key = hashlib.sha256(b"madang digest " + keys[0]).digest()
        self.fingerprint: Final = _fingerprint(keys[0])
        """Names the key and tells nothing of it: managers of one database can see whether they have the same."""

    @property
    def fingerprints(self) -> frozenset[str]:
        """Of all keys that open."""
        return frozenset(self._keys)

    @classmethod
    def open(cls, path: Path) -> Sealer:
        """The sealer of a key file, which is made on first use with a key of its own.

        Raises StartupError when the file is damaged, is open to others, or cannot be made.
        """
        try:
            if not path.exists():
                _make(path)
            return cls(_read(path))
        except OSError as error:
            raise StartupError(f"The key file {path} cannot be used: {error.strerror}.") from error

    def seal(self, secret: str, purpose: str) -> str:
        """`secret` in a form that only this key opens, and only for this purpose, e.g. `totp:` and a user's id."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._keys[self.fingerprint].encrypt(nonce, secret.encode(), purpose.encode())
        return f"{_FORMAT}.{self.fingerprint}.{_text(sealed)}"

    def unseal(self, sealed: str, purpose: str) -> str:
        """The secret. Raises Unavailable when it was sealed with another key or for another purpose, or is damaged."""
        form, _, rest = sealed.partition(".")
        fingerprint, _, text = rest.partition(".")
        key = self._keys.get(fingerprint)
        if form == _FORMAT and key is None:
            raise Unavailable(
                f"A secret of the database was sealed with another key ({fingerprint[:8]}) than those in this server's "
                f"{FILE_NAME} ({', '.join(self._keys)}). Ask an administrator to put that file back."
            )
        try:
            data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            if form != _FORMAT or key is None or len(data) <= _NONCE_BYTES:
                raise ValueError
            return key.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], purpose.encode()).decode()
        except (InvalidTag, ValueError):
            kind = purpose.partition(":")[0]
            raise Unavailable(
                f"A sealed secret ({kind}) of the database is damaged or belongs elsewhere. Ask an administrator to "
                "set it anew."
            ) from None

    def digest(self, text: str) -> str:
        """A name for a text that says nothing of it to who has not the key, and is the same on every manager."""
        return hmac.digest(self._digest_key, text.encode("utf-8", "surrogatepass"), "sha256").hex()

    def is_current(self, sealed: str) -> bool:
        """Whether it is sealed with the first key; otherwise it should be sealed anew when there is an occasion."""
        return sealed.startswith(f"{_FORMAT}.{self.fingerprint}.")


def _make(path: Path) -> None:
    """Write a new key; when two do so at once, one of the keys is there for both."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{_text(secrets.token_bytes(_KEY_BYTES))}\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(partial, path)
    finally:
        partial.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)  # a secret must not outlive its key
    finally:
        os.close(directory)


def _read(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise StartupError(f"The key file {path} can be read by other users of this machine. Run: chmod 600 {path}")
        lines = file.read(_FILE_AT_MOST).decode("ascii", "replace").split()
    try:
        keys = [base64.urlsafe_b64decode(line + "=" * (-len(line) % 4)) for line in lines]
    except ValueError:
        keys = []
    if not keys or any(len(key) != _KEY_BYTES for key in keys):
        raise StartupError(
            f"The key file {path} is damaged. Put it back from a copy; without it, one-time codes and signing keys "
            "have to be set up anew: then delete it."
        )
    return keys


def _fingerprint(key: bytes) -> str:
    return hashlib.sha256(b"madang key " + key).hexdigest()[:8]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
