"""What accounts sign in with: passwords, second factors, and who they are in another system. For sign-in only: no
tenant filters, since nobody is signed in yet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.repositories import keys
from madang.db.site_tables import recovery_codes, signing_keys
from madang.db.tables import domains, tokens, users
from madang.domain.people import Role

_u = users.c
_t = tokens.c
_r = recovery_codes.c
_SELECT: Final = (
    select(users, domains.c.name.label("domain"), domains.c.active.label("domain_active"))
    .join(domains, domains.c.id == _u.domain_id)
    .where(_u.deleted_at.is_(None))
)


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account, as far as signing in is concerned."""

    id: str
    name: str
    role: Role
    domain_id: str
    domain: str  # its name
    active: bool  # the account and its domain
    email: str | None
    full_name: str
    password: str | None = field(repr=False)  # Argon2id
    must_change_password: bool
    totp: str | None = field(repr=False)  # sealed
    totp_step: int | None
    source: str | None  # the other system that it signs in with
    subject: str | None
    robot_of: str | None
    last_sign_in_at: datetime | None

    @property
    def about(self) -> tuple[str, ...]:
        """What others know of the person, so that it makes no password."""
        return (self.name, self.full_name, self.email or "")


def _account(row: Row[*tuple[Any, ...]] | None) -> AccountRow | None:
    if row is None:
        return None
    return AccountRow(
        id=row.id,
        name=row.name,
        role=row.role,
        domain_id=row.domain_id,
        domain=row.domain,
        active=row.active and row.domain_active,
        email=row.email,
        full_name=row.full_name,
        password=row.password,
        must_change_password=row.must_change_password,
        totp=row.totp,
        totp_step=row.totp_step,
        source=row.source,
        subject=row.subject,
        robot_of=row.robot_of,
        last_sign_in_at=row.last_sign_in_at,
    )


async def by_name(connection: AsyncConnection, name: str) -> AccountRow | None:
    """The account of a name, also a disabled one."""
    return _account((await connection.execute(_SELECT.where(_u.name == name))).first())


async def by_id(connection: AsyncConnection, user_id: str) -> AccountRow | None:
    """The account of an id, also a disabled one."""
    return _account((await connection.execute(_SELECT.where(_u.id == user_id))).first())


async def by_email(connection: AsyncConnection, email: str) -> list[AccountRow]:
    """The accounts of an address, however it is written; several may have one."""
    query = _SELECT.where(func.lower(_u.email) == email.lower()).order_by(_u.id)
    found = [_account(row) for row in await connection.execute(query)]
    return [one for one in found if one is not None]


async def lock(transaction: Transaction, user_id: str) -> AccountRow | None:
    """The account as it is when nobody else changes it, locked until the end of the transaction."""
    await transaction.connection.execute(select(_u.id).where(_u.id == user_id).with_for_update())
    return await by_id(transaction.connection, user_id)


async def set_password(transaction: Transaction, user_id: str, password: str, *, must_change: bool = False) -> None:
    """Store the hash of a password."""
    values = {"password": password, "must_change_password": must_change}
    await transaction.connection.execute(update(users).where(_u.id == user_id).values(**values))


async def renew_password(transaction: Transaction, user_id: str, old: str, renewed: str) -> None:
    """Store another hash of the same password, unless it was changed meanwhile."""
    mine = (_u.id == user_id, _u.password == old)
    await transaction.connection.execute(update(users).where(*mine).values(password=renewed))


async def set_second_factor(transaction: Transaction, user_id: str, totp: str | None, step: int | None = None) -> None:
    """Store the sealed secret of an authenticator app and the step of the code that proved it, or remove it."""
    values = {"totp": totp, "totp_step": step}
    await transaction.connection.execute(update(users).where(_u.id == user_id).values(**values))
    await transaction.connection.execute(delete(recovery_codes).where(_r.user_id == user_id))


async def use_step(transaction: Transaction, user_id: str, step: int) -> bool:
    """Use up the code of a time step; False when that one or a later one was used before."""
    mine = (_u.id == user_id, _u.totp.is_not(None), (_u.totp_step.is_(None)) | (_u.totp_step < step))
    statement = update(users).where(*mine).values(totp_step=step).returning(_u.id)
    return (await transaction.connection.execute(statement)).first() is not None


async def add_recovery_codes(transaction: Transaction, user_id: str, digests: Collection[bytes]) -> None:
    """Store recovery codes."""
    rows = [{"user_id": user_id, "digest": digest} for digest in digests]
    await transaction.connection.execute(insert(recovery_codes), rows)


async def use_recovery_code(transaction: Transaction, user_id: str, digest: bytes) -> bool:
    """Use up a recovery code; False when there is none like it."""
    statement = delete(recovery_codes).where(_r.user_id == user_id, _r.digest == digest).returning(_r.user_id)
    return (await transaction.connection.execute(statement)).first() is not None


async def recovery_codes_left(connection: AsyncConnection, user_id: str) -> int:
    """How many recovery codes somebody still has."""
    query = select(func.count()).select_from(recovery_codes).where(_r.user_id == user_id)
    return int(await connection.scalar(query) or 0)


async def sealed_with(connection: AsyncConnection) -> set[str]:
    """The fingerprints of the keys with which anything is sealed."""
    apps = select(func.split_part(_u.totp, ".", 2)).where(_u.totp.is_not(None))
    keys = select(func.split_part(signing_keys.c.sealed, ".", 2))
    return {str(one) for one in (await connection.execute(apps.union(keys))).scalars()}


async def signed_in(transaction: Transaction, user_id: str, at: datetime) -> None:
    """Write when somebody signed in."""
    await transaction.connection.execute(update(users).where(_u.id == user_id).values(last_sign_in_at=at))


async def sign_out(
    transaction: Transaction, user_id: str, at: datetime, *, but: str | None = None, browsers_only: bool = False
) -> int:
    """Take the tokens, signing keys and browser sessions of somebody back, all or all but one; returns how many.

    Everybody forgets them.
    """
    mine = [_t.user_id == user_id, _t.revoked_at.is_(None)]
    if but is not None:
        mine.append(_t.id != but)
    if browsers_only:
        mine.append(_t.kind == "browser")
    statement = update(tokens).where(*mine).values(revoked_at=at).returning(_t.id, _t.label)
    found = (await transaction.connection.execute(statement)).all()
    for row in found:
        transaction.emit("token.revoked", at, {"id": row.id, "label": row.label}, owner_id=user_id)
    keys_found = 0 if browsers_only else await keys.revoke_all(transaction, user_id, at, but=but)
    transaction.wake("tokens")
    return len(found) + keys_found
