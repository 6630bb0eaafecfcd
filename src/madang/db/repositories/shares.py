"""With whom sessions are shared. Whether a caller may know of a session is decided in `session_rights`."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.rows import SessionRow, ShareRow
from madang.db.tables import domains, projects, session_shares, users
from madang.domain.people import ShareLevel, project_path

_h = session_shares.c
_SELECT: Final = (
    select(
        session_shares,
        users.c.name.label("user"),
        projects.c.name.label("project"),
        domains.c.name.label("domain"),
    )
    .select_from(
        session_shares.outerjoin(users, users.c.id == _h.user_id)
        .outerjoin(projects, projects.c.id == _h.project_id)
        .outerjoin(domains, domains.c.id == projects.c.domain_id)
    )
    .order_by(users.c.name, domains.c.name, projects.c.name)
)


async def of_session(connection: AsyncConnection, session_id: str) -> list[ShareRow]:
    """Users by name, then projects by path."""
    return [
        ShareRow(
            row.session_id,
            row.user_id,
            row.user,
            row.project_id,
            project_path(row.domain, row.project) if row.project is not None else None,
            row.level,
            row.created_at,
        )
        for row in await connection.execute(_SELECT.where(_h.session_id == session_id))
    ]


async def save(
    transaction: Transaction,
    session: SessionRow,
    level: ShareLevel,
    at: datetime,
    *,
    user_id: str | None = None,
    project_id: str | None = None,
) -> None:
    """Share a session with a user or a project so far, whatever it was before."""
    values = {"session_id": session.id, "user_id": user_id, "project_id": project_id, "level": level}
    column = _h.user_id if user_id is not None else _h.project_id
    statement = insert(session_shares).values(created_at=at, **values)
    await transaction.connection.execute(
        statement.on_conflict_do_update(
            index_elements=[column, _h.session_id], index_where=column.is_not(None), set_={"level": level}
        )
    )
    transaction.emit("session.shared", at, {"level": level}, session_id=session.id, owner_id=session.owner_id)
    transaction.wake("tokens")


async def remove(transaction: Transaction, session: SessionRow, share: ShareRow, at: datetime) -> None:
    """Share a session with that user or project no more."""
    other = _h.user_id == share.user_id if share.user_id is not None else _h.project_id == share.project_id
    await transaction.connection.execute(delete(session_shares).where(_h.session_id == session.id, other))
    transaction.emit("session.unshared", at, {}, session_id=session.id, owner_id=session.owner_id)
    transaction.wake("tokens")
