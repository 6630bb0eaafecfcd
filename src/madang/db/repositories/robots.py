"""The tokens of projects: each belongs to a robot, an account that is in its project only and goes with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.tables import memberships, tokens, users
from madang.domain.rights import Scope

_t = tokens.c
_u = users.c
_m = memberships.c
_SELECT = (
    select(tokens, _u.name.label("robot"), _u.id.label("robot_id"), _m.role)
    .join(users, _u.id == _t.user_id)
    .join(memberships, (_m.user_id == _u.id) & (_m.project_id == _u.robot_of))
    .where(_t.revoked_at.is_(None))
    .order_by(_t.id.desc())
)


@dataclass(frozen=True, slots=True)
class RobotToken:
    """A token of a project that has not been revoked."""

    id: str
    label: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    scopes: frozenset[Scope] | None
    robot: str  # name
    robot_id: str
    role: str  # of the robot, there


def _token(row: Row[*tuple[Any, ...]]) -> RobotToken:
    return RobotToken(
        id=row.id,
        label=row.label,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        scopes=None if row.scopes is None else frozenset(Scope(one) for one in row.scopes),
        robot=row.robot,
        robot_id=row.robot_id,
        role=row.role,
    )


async def of_project(connection: AsyncConnection, project_id: str) -> list[RobotToken]:
    """Newest first; expired ones, too."""
    return [_token(row) for row in await connection.execute(_SELECT.where(_u.robot_of == project_id))]


async def find(connection: AsyncConnection, project_id: str, token_id: str) -> RobotToken | None:
    """One that has not been revoked."""
    row = (await connection.execute(_SELECT.where(_u.robot_of == project_id, _t.id == token_id))).first()
    return None if row is None else _token(row)


async def disable(transaction: Transaction, robot_id: str) -> None:
    """Nobody comes in as this robot any more; its sessions stay, and are its project's to look after."""
    await transaction.connection.execute(update(users).where(_u.id == robot_id).values(active=False))
    await transaction.connection.execute(delete(memberships).where(_m.user_id == robot_id))
    transaction.wake("tokens")


async def remove(transaction: Transaction, project_ids: Iterable[str]) -> None:
    """Delete the robots of projects without sessions, which are about to be deleted."""
    await transaction.connection.execute(delete(users).where(_u.robot_of.in_(list(project_ids))))
