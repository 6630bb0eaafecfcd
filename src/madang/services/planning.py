"""The dry run: the very pass of the schedule loop, over what the database has now and a session that is not in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.repositories import closures, groups, live, nodes, policies, reservations, usage
from madang.db.repositories.closures import Closed
from madang.db.rows import DependencyRow, GroupRow, LiveRow, NodeRow, ReservationRow, SessionRow, UsageRow
from madang.domain.people import Caller
from madang.domain.session import SessionState
from madang.domain.why import Why, sentence
from madang.scheduling.plan import Decision, Expire, Placement, Preempt, Wait, plan
from madang.scheduling.quotas import Quotas, Tally
from madang.scheduling.snapshot import Part, Snapshot
from madang.schemas.api import HeldDevice, PlanAnswer, PlannedContainer, Waiting
from madang.services.cluster import node_of, policy_of
from madang.services.live import request_of, running_of


@dataclass(frozen=True, slots=True)
class Prospect:
    """A resource group as the database has it, with one more session that waits: the last of `waiting`."""

    group: GroupRow
    nodes: Sequence[NodeRow]
    waiting: Sequence[LiveRow]
    holding: Sequence[LiveRow]
    reserved: Sequence[ReservationRow]
    usage: Sequence[UsageRow]
    quotas: Quotas
    closed: Closed
    now: datetime


async def read_prospect(
    connection: AsyncConnection, row: SessionRow, waits_for: Sequence[DependencyRow], now: datetime
) -> Prospect:
    """Read the group of a session that is not saved, and add the session to those that wait."""
    name = row.resource_group
    known = await live.every(connection, name)
    group = await groups.find(connection, name)
    assert group is not None  # noqa: S101 - admission has looked
    return Prospect(
        group,
        [node for node in await nodes.every(connection) if node.resource_group == name],
        [*(one for one in known if one.state is SessionState.PENDING), _as_live(row, waits_for)],
        [one for one in known if one.state is not SessionState.PENDING],
        await reservations.every(connection, name),
        await usage.every(connection, name),
        await _quotas(connection),
        await closures.every(connection),
        now,
    )


async def _quotas(connection: AsyncConnection) -> Quotas:
    """What everybody may hold and holds, in all groups; nothing is read where nobody has a quota."""
    allowed = await policies.allowed(connection)
    if not allowed:
        return Quotas()
    holding = [one for one in await live.every(connection) if one.state is not SessionState.PENDING]
    return Quotas(allowed, Tally.of(running_of(one) for one in holding))


def answer(prospect: Prospect, caller: Caller) -> PlanAnswer:
    """What the scheduler decides about the last of the waiting sessions, told to who asks."""
    asked = prospect.waiting[-1]
    snapshot = Snapshot.of(
        [node_of(node) for node in prospect.nodes if node.ready],
        [request_of(one, prospect.group.access, prospect.closed) for one in prospect.waiting],
        [running_of(one) for one in prospect.holding],
    )
    policy = policy_of(prospect.group, prospect.reserved, prospect.usage, prospect.now)
    decisions = plan(snapshot, prospect.now.timestamp(), replace(policy, quotas=prospect.quotas))
    mine = next(one for one in decisions if not isinstance(one, Preempt) and one.session_id == asked.id)
    victims = {one.session_id for one in decisions if isinstance(one, Preempt) and one.for_session == asked.id}
    return PlanAnswer(
        starts=isinstance(mine, Placement),
        placements=_containers(mine.parts) if isinstance(mine, Placement) else [],
        reason="" if isinstance(mine, Placement) else sentence(_why(mine)),
        waiting=_waiting(mine, len(prospect.waiting)),
        would_preempt=[_name(one, caller) for one in prospect.holding if one.id in victims],
    )


def _why(decision: Decision) -> Why:
    assert isinstance(decision, Wait | Expire)  # noqa: S101 - the caller has looked
    return decision.why


def _waiting(decision: Decision, of: int) -> Waiting | None:
    if isinstance(decision, Expire):
        why = decision.why
        return Waiting(code=why.code, values=dict(why.values), position=0, of=of, estimated_start=None)
    if not isinstance(decision, Wait):
        return None
    start = decision.estimated_start
    return Waiting(
        code=decision.why.code,
        values=dict(decision.why.values),
        position=decision.position,
        of=decision.of,
        estimated_start=None if start is None else datetime.fromtimestamp(start, UTC),
    )


def _containers(parts: Sequence[Part]) -> list[PlannedContainer]:
    return [
        PlannedContainer(
            rank=rank,
            node=part.node,
            devices=[HeldDevice(kind=part.kind, index=share.index, milli=share.milli) for share in part.shares],
        )
        for rank, part in enumerate(parts)
    ]


def _name(row: LiveRow, caller: Caller) -> str:
    """The name of a session, or whose it is not: others' sessions have no names for users."""
    return row.name if caller.is_admin or row.owner_id == caller.user_id else f"a {row.kind} session of somebody else"


def _as_live(row: SessionRow, waits_for: Sequence[DependencyRow]) -> LiveRow:
    """A session that waits, as if it had been read from the database."""
    return LiveRow(
        id=row.id,
        owner_id=row.owner_id,
        owner=row.owner,
        name=row.name,
        kind=row.kind,
        state=row.state,
        reason=row.reason,
        waiting=None,
        environment=row.environment,
        network=row.network,
        slots=row.slots,
        created_at=row.created_at,
        resource_group=row.resource_group,
        models=row.models,
        size=row.size,
        layout=row.layout,
        priority=row.priority,
        start_at=row.start_at,
        max_seconds=row.max_seconds,
        deadline=row.deadline,
        preemptible=row.preemptible,
        reservation=row.reservation,
        started_at=None,
        held_since=None,
        stop_requested_at=None,
        stop_grace_seconds=row.stop_grace_seconds,
        stop_reason="",
        preempted_for=None,
        project_id=row.project_id,
        project=row.project,
        domain_id=row.domain_id,
        domain=row.domain,
        dependencies=tuple(waits_for),
    )
