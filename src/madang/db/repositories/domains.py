"""Domains, as far as a caller has the right to see them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, delete, func, insert, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Transaction
from madang.db.failures import constraint_of
from madang.db.repositories import robots
from madang.db.rows import DomainRow
from madang.db.tables import domains, projects, users
from madang.domain.errors import NameInUse, NotFound
from madang.domain.people import Caller
from madang.domain.rights import RIGHTS, Right, Tie

_d = domains.c
_PROJECTS: Final = select(func.count()).where(projects.c.domain_id == _d.id).correlate(domains).scalar_subquery()
_PEOPLE: Final = (users.c.domain_id == _d.id, users.c.robot_of.is_(None))
_USERS: Final = select(func.count()).where(*_PEOPLE).correlate(domains).scalar_subquery()
_SELECT: Final = select(domains, _PROJECTS.label("projects"), _USERS.label("users")).order_by(_d.name)


def _seen_by(caller: Caller) -> ColumnElement[bool]:
    """The domains that the caller has the right to see. Raises Forbidden when the credential lacks the scope."""
    reach = caller.reach(Right.DOMAIN_SEE)
    if reach.everything:
        return true()
    fellow = (caller.domain_id,) if Tie.FELLOW in RIGHTS[Right.DOMAIN_SEE].ties else ()
    return _d.id.in_([*reach.domains, *fellow])


def _row(row: Row[*tuple[Any, ...]]) -> DomainRow:
    return DomainRow(row.id, row.name, row.title, row.active, row.created_at, row.projects, row.users)


async def every(connection: AsyncConnection, caller: Caller) -> list[DomainRow]:
    """Those that the caller may see, by name."""
    return [_row(row) for row in await connection.execute(_SELECT.where(_seen_by(caller)))]


async def find(connection: AsyncConnection, caller: Caller, name: str) -> DomainRow:
    """Raises NotFound, also for one that the caller may not see."""
    row = (await connection.execute(_SELECT.where(_d.name == name, _seen_by(caller)))).first()
    if row is None:
        raise NotFound(f"There is no domain '{name[:60]}'. 'madang domain ls' shows those there are.")
    return _row(row)


async def lock(transaction: Transaction, caller: Caller, name: str) -> DomainRow:
    """The domain as it is when nobody else changes it, locked until the end of the transaction. Raises NotFound."""
    query = select(_d.id).where(_d.name == name, _seen_by(caller)).with_for_update()
    await transaction.connection.execute(query)
    return await find(transaction.connection, caller, name)


async def hold(transaction: Transaction, caller: Caller, name: str) -> DomainRow:
    """Keep the domain from being deleted until the end of the transaction. Raises NotFound."""
    query = select(_d.id).where(_d.name == name, _seen_by(caller)).with_for_update(key_share=True, read=True)
    await transaction.connection.execute(query)
    return await find(transaction.connection, caller, name)


async def add(transaction: Transaction, row: DomainRow) -> None:
    """Save a new domain. Raises NameInUse."""
    values = {name: value for name, value in asdict(row).items() if name not in ("projects", "users")}
    try:
        await transaction.connection.execute(insert(domains), values)
    except IntegrityError as error:
        if constraint_of(error) == "domains_name":
            raise NameInUse(f"There is a domain '{row.name}' already. Choose another name.") from error
        raise
    transaction.emit("domain.created", row.created_at, {"domain": row.name})


async def save(transaction: Transaction, row: DomainRow) -> None:
    """Write what can be changed of a domain."""
    values = {"title": row.title, "active": row.active}
    await transaction.connection.execute(update(domains).where(_d.id == row.id).values(**values))
    transaction.wake("tokens")


async def remove(transaction: Transaction, row: DomainRow) -> None:
    """Delete a domain in which nobody is any more, with its projects, which must have no sessions."""
    gone = select(projects.c.id).where(projects.c.domain_id == row.id)
    await robots.remove(transaction, (await transaction.connection.execute(gone)).scalars())
    await transaction.connection.execute(delete(projects).where(projects.c.domain_id == row.id))
    await transaction.connection.execute(delete(domains).where(_d.id == row.id))
    transaction.wake("tokens")
