"""From rows to what users see."""

from __future__ import annotations

from madang.db.rows import EventRow, NodeRow, SessionRow
from madang.domain.errors import InvalidInput
from madang.domain.session import SessionState
from madang.schemas.api import Event, NodeState, Session, SessionExit


def session_view(row: SessionRow) -> Session:
    """A session as its users see it."""
    main = row.main
    ended = main.exit if main is not None else None
    placed = main is not None and row.state is not SessionState.PENDING
    return Session(
        id=row.id,
        name=row.name,
        owner=row.owner,
        kind=row.kind,
        state=row.state,
        reason=row.reason,
        environment=row.environment,
        command=row.command,
        variables=row.variables,
        slots=row.slots,
        processes=row.processes,
        network=row.network,
        node=main.node if main is not None and placed else None,
        exit=None
        if ended is None
        else SessionExit(reason=ended.reason, code=ended.code, signal=ended.signal, message=ended.message),
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )


def node_view(row: NodeRow) -> NodeState:
    """A node with what of it is taken."""
    return NodeState(
        name=row.name,
        state="ready" if row.ready else "unreachable",
        slots=row.slots,
        used={slot: row.used.get(slot, 0) for slot in row.slots},
        sessions=row.sessions,
        report=row.report,
        last_seen_at=row.last_seen_at,
    )


def event_view(row: EventRow) -> Event:
    """An event; its id is its place in the stream."""
    return Event(id=f"{row.xid}-{row.id}", at=row.at, kind=row.kind, session=row.session_id, data=row.data)


def event_position(written: str | None) -> tuple[int, int]:
    """The place in the stream that an event id names; the very beginning for None. Raises InvalidInput."""
    if written is None:
        return (-1, -1)
    xid, _, number = written.partition("-")
    if not (xid.isascii() and xid.isdigit() and number.isascii() and number.isdigit() and len(written) <= 40):
        raise InvalidInput(f"'{written[:60]}' is not the id of an event; use the `id` of one that the stream sent.")
    return (min(int(xid), 2**63 - 1), min(int(number), 2**63 - 1))
