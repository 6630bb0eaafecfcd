"""Access tokens, by their digests: the tokens themselves are never stored; and whose signing keys are."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, TextualSelect, insert, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.rows import TokenNew, TokenRow
from madang.db.tables import tokens
from madang.domain.people import Membership, ProjectRole, project_path
from madang.domain.rights import Scope
from madang.domain.signing import KEY_PREFIX

_t = tokens.c


def _query(table: str, kind: str, where: str) -> TextualSelect:
    """Credentials with their users; `table` and `where` are constants of this file."""
    statement = f"""
        SELECT t.id AS token_id, u.id, u.name, u.role, u.domain_id, u.active AND d.active AS active,
            u.robot_of IS NOT NULL AS robot,
            t.label, t.created_at, t.last_used_at, t.scopes, t.expires_at, t.revoked_at, {kind} AS kind,
            (
                SELECT jsonb_agg(jsonb_build_array(m.project_id, o.id, o.name, p.name, m.role))
                FROM memberships m JOIN projects p ON p.id = m.project_id JOIN domains o ON o.id = p.domain_id
                WHERE m.user_id = u.id AND p.active AND o.active AND (m.expires_at IS NULL OR m.expires_at > :now)
            ) AS memberships
        FROM {table} t JOIN users u ON u.id = t.user_id JOIN domains d ON d.id = u.domain_id
        WHERE {where}
    """  # noqa: S608
    return text(statement).columns(memberships=JSONB, scopes=JSONB)


_BY_DIGEST: Final = _query("tokens", "t.kind", "t.digest = :digest")
_OF_USER: Final = _query("tokens", "t.kind", "t.user_id = :user AND t.revoked_at IS NULL ORDER BY t.id DESC")
_KEYS_OF_USER: Final = _query(
    "signing_keys", "'token'", "t.user_id = :user AND t.revoked_at IS NULL ORDER BY t.created_at DESC, t.id"
)
_BY_ID: Final = _query("tokens", "t.kind", "t.id = :id")
_BY_KEY: Final = _query("signing_keys", "'token'", "t.id = :id")


async def by_digest(connection: AsyncConnection, digest: bytes, now: datetime) -> TokenRow | None:
    """The token of a SHA-256 digest, with its user; also when it has expired or is revoked, or the user is disabled."""
    row = (await connection.execute(_BY_DIGEST, {"digest": digest, "now": now})).first()
    return None if row is None else _token(row)


async def by_id(connection: AsyncConnection, credential: str, now: datetime) -> TokenRow | None:
    """The same by the id of the token, or of the signing key."""
    query = _BY_KEY if credential.startswith(KEY_PREFIX) else _BY_ID
    row = (await connection.execute(query, {"id": credential, "now": now})).first()
    return None if row is None else _token(row)


def _token(row: Row[*tuple[Any, ...]]) -> TokenRow:
    return TokenRow(
        id=row.token_id,
        label=row.label,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        user_id=row.id,
        name=row.name,
        role=row.role,
        domain_id=row.domain_id,
        active=row.active,
        robot=row.robot,
        memberships=tuple(
            Membership(project_id, project_path(domain, project), ProjectRole(role), domain_id, domain)
            for project_id, domain_id, domain, project, role in row.memberships or ()
        ),
        scopes=None if row.scopes is None else frozenset(Scope(one) for one in row.scopes),
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        kind=row.kind,
    )


async def of_user(connection: AsyncConnection, user_id: str, now: datetime) -> list[TokenRow]:
    """Those of a user that have not been revoked, newest first; expired ones, too."""
    return [_token(row) for row in await connection.execute(_OF_USER, {"user": user_id, "now": now})]


async def keys_of_user(connection: AsyncConnection, user_id: str, now: datetime) -> list[TokenRow]:
    """The signing keys of a user that have not been revoked, newest first; expired ones, too."""
    return [_token(row) for row in await connection.execute(_KEYS_OF_USER, {"user": user_id, "now": now})]


async def add(transaction: Transaction, new: TokenNew) -> None:
    """Save a token."""
    values = {
        "id": new.id,
        "user_id": new.user_id,
        "digest": new.digest,
        "label": new.label,
        "created_at": new.created_at,
        "expires_at": new.expires_at,
        "scopes": None if new.scopes is None else sorted(new.scopes),
        "kind": new.kind,
    }
    await transaction.connection.execute(insert(tokens), values)
    transaction.emit("token.created", new.created_at, {"id": new.id, "label": new.label}, owner_id=new.user_id)


async def revoke(transaction: Transaction, user_id: str, token_id: str, at: datetime) -> str | None:
    """Take a token of a user back, for good; returns its label, None without one. Everybody forgets it."""
    statement = (
        update(tokens)
        .where(_t.id == token_id, _t.user_id == user_id, _t.revoked_at.is_(None))
        .values(revoked_at=at)
        .returning(_t.label)
    )
    label: str | None = await transaction.connection.scalar(statement)
    if label is None:
        return None
    transaction.emit("token.revoked", at, {"id": token_id, "label": label}, owner_id=user_id)
    transaction.wake("tokens")
    return label


async def touch(transaction: Transaction, token_id: str, at: datetime) -> None:
    """The token has been used."""
    await transaction.connection.execute(update(tokens).where(_t.id == token_id).values(last_used_at=at))
