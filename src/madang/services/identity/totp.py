"""One-time codes of an authenticator app (TOTP, RFC 6238), and recovery codes for who has lost it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import pyotp

ISSUER: Final = "Madang"
STEP_SECONDS: Final = 30
DRIFT_STEPS: Final = 1  # a telephone's clock may be that much off, either way
RECOVERY_CODES: Final = 10

_DIGITS: Final = 6
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u
_MISREAD: Final = str.maketrans("oil", "011")
_GROUPS: Final = 4
_GROUP: Final = 4  # characters of 5 bits: 80 bits a code, beyond any search, so a plain digest of it can be stored


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator app has to be given, shown once: as text to type, and as what stands in the QR code."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


def enrol(account: str, server: str) -> Enrolment:
    """A new secret for an account, e.g. `minji` of `gpu.lab.example`. In force once a code of it has been checked."""
    secret = pyotp.random_base32()
    issuer = f"{ISSUER} {server}".replace(":", " ").strip()  # the colon ends the issuer in such an address
    return Enrolment(secret, _totp(secret).provisioning_uri(name=account.replace(":", " "), issuer_name=issuer))


def matching_step(secret: str, code: str, now: datetime, last_step: int | None) -> int | None:
    """The time step that a code is of; None when it is wrong, too old, or of a step that was used before.

    `last_step` is what an earlier call returned; a code is good once. Two may come with one code in the same moment,
    so the step has to be stored on the condition that the stored one is lower, and counts only when that succeeds.
    """
    digits = "".join(unicodedata.normalize("NFKC", code).split()) if len(code) <= 64 else ""
    if len(digits) != _DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    totp = _totp(secret)
    current = int(now.timestamp()) // STEP_SECONDS
    found = None
    for step in range(max(current - DRIFT_STEPS, 0), current + DRIFT_STEPS + 1):
        # All are compared whatever the outcome, so the time taken does not tell how near a guess was.
        if hmac.compare_digest(totp.generate_otp(step), digits) and (last_step is None or step > last_step):
            found = step
    return found


def new_recovery_codes() -> list[str]:
    """Codes to keep on paper, each good once in place of an authenticator app; shown once, stored by digest."""
    return ["-".join(_letters(_GROUP) for _ in range(_GROUPS)) for _ in range(RECOVERY_CODES)]


def recovery_digest(code: str) -> bytes | None:
    """What is stored of a recovery code, however it was typed; None when it cannot be one.

    Deleting the row of this digest is both the check and the use.
    """
    text = unicodedata.normalize("NFKC", code).lower() if len(code) <= 64 else ""
    letters = "".join(letter for letter in text if letter.isalnum()).translate(_MISREAD)
    if len(letters) != _GROUPS * _GROUP or not set(letters) <= set(_ALPHABET):
        return None
    return hashlib.sha256(f"madang recovery {letters}".encode()).digest()


def _totp(secret: str) -> pyotp.TOTP:
    return pyotp.TOTP(secret, digits=_DIGITS, interval=STEP_SECONDS)


def _letters(count: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(count))
