"""The second factor of an account: a code of an authenticator app, or a recovery code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from madang.db.engine import Transaction
from madang.db.repositories import credentials
from madang.db.repositories.credentials import AccountRow
from madang.services.identity.sealed import Sealer
from madang.services.identity.totp import matching_step, recovery_digest


@dataclass(frozen=True, slots=True)
class Proof:
    """A code that looks right, to be used up: the step of a code of the app, or the digest of a recovery code."""

    step: int | None = None
    digest: bytes | None = None


def purpose(user_id: str) -> str:
    """What the secret of the app is sealed for."""
    return f"totp:{user_id}"


def prove(sealer: Sealer, account: AccountRow, code: str, now: datetime) -> Proof | None:
    """What a code proves, before it is used; None when it is wrong. Raises Unavailable without the right key."""
    if account.totp is None:
        return None
    step = matching_step(sealer.unseal(account.totp, purpose(account.id)), code, now, account.totp_step)
    if step is not None:
        return Proof(step=step)
    digest = recovery_digest(code)
    return None if digest is None else Proof(digest=digest)


async def use(transaction: Transaction, user_id: str, proof: Proof) -> bool:
    """Use a code up; False when it was used before, or is no recovery code of this account."""
    if proof.step is not None:
        return await credentials.use_step(transaction, user_id, proof.step)
    return proof.digest is not None and await credentials.use_recovery_code(transaction, user_id, proof.digest)
