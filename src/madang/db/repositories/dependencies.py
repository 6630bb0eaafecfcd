"""Dependencies: which pending session waits for which other session."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.rows import DependencyRow
from madang.db.tables import session_dependencies, sessions
from madang.domain.session import SessionState

_d = session_dependencies.c
_waiting: Final = sessions.alias("waiting")
_other: Final = sessions.alias("other")

_SELECT: Final = (
    select(_d.session_id, _d.on_session_id, _other.c.name, _other.c.state, _d.ok)
    .select_from(
        session_dependencies.join(_waiting, _waiting.c.id == _d.session_id).join(
            _other, _other.c.id == _d.on_session_id
        )
    )
    .where(_waiting.c.state == SessionState.PENDING.value)
    .order_by(_d.session_id, _d.on_session_id)
)


async def of_pending(connection: AsyncConnection) -> list[DependencyRow]:
    """What pending sessions wait for, met or not."""
    return [
        DependencyRow(row.session_id, row.on_session_id, row.name, SessionState(row.state), row.ok)
        for row in await connection.execute(_SELECT)
    ]
