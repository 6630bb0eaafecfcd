"""Links that let somebody in once or a few times: to set a password, to join a project, to sign up.

What a link carries is a secret of high entropy; only its SHA-256 is stored.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.rows import LinkRow
from madang.db.site_tables import links
from madang.domain.people import ProjectRole

_l = links.c
_SELECT: Final = select(links)


def _link(row: Row[*tuple[Any, ...]]) -> LinkRow:
    return LinkRow(
        id=row.id,
        digest=row.digest,
        kind=row.kind,
        user_id=row.user_id,
        project_id=row.project_id,
        role=None if row.role is None else ProjectRole(row.role),
        member_until=row.member_until,
        email=row.email,
        data=row.data,
        most_uses=row.most_uses,
        uses=row.uses,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


async def add(transaction: Transaction, row: LinkRow) -> None:
    """Save a new link."""
    await transaction.connection.execute(insert(links), asdict(row))


async def by_digest(connection: AsyncConnection, digest: bytes) -> LinkRow | None:
    """The link of a digest, also when it is used up, over or revoked; it says so itself."""
    row = (await connection.execute(_SELECT.where(_l.digest == digest))).first()
    return None if row is None else _link(row)


async def use(transaction: Transaction, digest: bytes, now: datetime) -> LinkRow | None:
    """Use a link once more, as it was before; None when it is not good any more. Two at once cannot use up one."""
    row = (await transaction.connection.execute(_SELECT.where(_l.digest == digest).with_for_update())).first()
    found = None if row is None else _link(row)
    if found is None or not found.is_good(now):
        return None
    await transaction.connection.execute(update(links).where(_l.id == found.id).values(uses=_l.uses + 1))
    return found


async def of_project(connection: AsyncConnection, project_id: str, now: datetime) -> list[LinkRow]:
    """The good invitations into a project, newest first."""
    query = _SELECT.where(_l.project_id == project_id, _l.kind == "invitation", _l.expires_at > now)
    found = [_link(row) for row in await connection.execute(query.order_by(_l.id.desc()))]
    return [one for one in found if one.is_good(now)]


async def revoke(transaction: Transaction, link_id: str, at: datetime) -> None:
    """Take a link back, for good."""
    await transaction.connection.execute(update(links).where(_l.id == link_id).values(revoked_at=at))


async def revoke_passwords(transaction: Transaction, user_id: str, at: datetime) -> None:
    """Take all links back that set the password of this user."""
    mine = (_l.user_id == user_id, _l.kind == "password", _l.revoked_at.is_(None))
    await transaction.connection.execute(update(links).where(*mine).values(revoked_at=at))


async def forget(transaction: Transaction, before: datetime) -> None:
    """Delete what has been over since before a moment."""
    await transaction.connection.execute(delete(links).where(_l.expires_at < before))
