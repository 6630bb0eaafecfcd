"""What the leader of the schedule knows: every resource group, read once and then kept up to date by events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.repositories import closures, events, groups, live, nodes, notices, policies, reservations, usage
from madang.db.repositories.closures import Closed
from madang.db.rows import EventRow, GroupRow, LiveRow, NodeRow, PartRow, ReservationRow, UsageRow
from madang.domain.access import Access
from madang.domain.errors import InvalidSlots
from madang.domain.notices import Maintenance
from madang.domain.session import ENDED, SessionState
from madang.scheduling.quotas import Quotas, Subject, Tally
from madang.scheduling.snapshot import Node, Request, Running, Snapshot
from madang.scheduling.state import ClusterState
from madang.schemas.api import GroupPolicy
from madang.services.cluster import node_of
from madang.services.live import blocked_by, opens_for, request_of, running_of

_log = structlog.get_logger(__name__)

_STATES = {f"session.{state.value}": state for state in SessionState}
_PLACED = (SessionState.SCHEDULED, SessionState.PREPARING)
_OF_PEOPLE = ("policy.", "user.", "project.", "domain.")
_BARS = ("maintenance.", "closures.")
_AT_ONCE = 2000  # events


@dataclass(eq=False)
class Group:
    """One resource group. `due`: something changed that may let somebody start."""

    row: GroupRow
    reserved: list[ReservationRow] = field(default_factory=list)
    usage: list[UsageRow] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    requests: dict[str, Request] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)
    state: ClusterState = field(default_factory=ClusterState)
    rules_changed: bool = True
    usage_changed: bool = False
    due: bool = True

    def set_node(self, node: Node) -> None:
        self.nodes[node.name] = node
        self.state.set_node(node)
        self.due = True

    def drop_node(self, name: str) -> None:
        if self.nodes.pop(name, None) is not None:
            self.state.drop_node(name)
            self.due = True

    def add(self, request: Request) -> None:
        if self.requests.get(request.id) != request:
            self.requests[request.id] = request
            self.state.add(request)
            self.due = True

    def drop(self, session_id: str) -> None:
        if self.requests.pop(session_id, None) is not None:
            self.state.drop(session_id)
            self.due = True

    def start(self, running: Running) -> None:
        before = self.running.get(running.id)
        if before != running:
            self.running[running.id] = running
            self.state.start(running)
            self.due |= before is not None  # another end is known

    def end(self, session_id: str) -> None:
        if self.running.pop(session_id, None) is not None:
            self.state.end(session_id)
            self.due = True


class Picture:
    """Every change of a session makes its row be read again, so it never matters how often an event is seen."""

    def __init__(self, position: tuple[int, int]) -> None:
        self.position = position
        self.groups: dict[str, Group] = {}
        self.rows: dict[str, LiveRow] = {}  # sessions that wait or hold room
        self.maintenance: Maintenance | None = None
        self._group_of: dict[str, str] = {}  # of nodes
        self._on_node: defaultdict[str, set[str]] = defaultdict(set)  # sessions that hold room of a node
        self._dependents: defaultdict[str, set[str]] = defaultdict(set)
        self._allowed: Mapping[Subject, Mapping[str, int]] = {}
        self._closed: Closed = {}
        self._tally = Tally()
        self._counted: dict[str, Running] = {}  # as they are in the tally

    @property
    def quotas(self) -> Quotas:
        """What everybody may hold and holds now; later changes do not show in it."""
        return Quotas(self._allowed, self._tally.copy()) if self._allowed else Quotas()

    # From scratch

    @classmethod
    async def read(cls, connection: AsyncConnection) -> Picture:
        """The picture of now. What changes while it is read is told by events behind its position."""
        picture = cls(await events.horizon(connection))
        for row in await groups.every(connection):
            picture.groups[row.name] = Group(row)
        for reservation in await reservations.every(connection):
            picture._group(reservation.resource_group).reserved.append(reservation)
        for used in await usage.every(connection):
            picture._group(used.resource_group).usage.append(used)
        await picture._read_allowed(connection)
        await picture._read_maintenance(connection)
        await picture._read_closed(connection)
        picture._set_nodes(await nodes.every(connection))
        async for rows in live.pages(connection):
            picture.see(rows)
        return picture

    # Bit by bit

    async def follow(self, connection: AsyncConnection) -> bool:
        """Take in what happened since; returns whether more is there that cannot be read yet."""
        while True:
            batch = await events.after(connection, self.position, limit=_AT_ONCE)
            if batch.events:
                await self._take_in(connection, batch.events)
                self.position = batch.events[-1].position
            if batch.held_back or len(batch.events) < _AT_ONCE:
                return batch.held_back

    async def read_again(self, connection: AsyncConnection, session_ids: Iterable[str]) -> None:
        """See some sessions as the database has them now."""
        wanted = list(session_ids)
        if not wanted:
            return
        found = await live.some(connection, wanted)
        self.see(found)
        for missing in set(wanted) - {row.id for row in found}:
            self.forget(missing)

    async def read_usage(self, connection: AsyncConnection, group: Group) -> None:
        """See who has used how much of a group."""
        group.usage = await usage.every(connection, group.row.name)
        group.usage_changed = False
        group.rules_changed = True

    async def _take_in(self, connection: AsyncConnection, batch: Sequence[EventRow]) -> None:
        changed: set[str] = set()
        touched_nodes: set[str] = set()
        touched_groups: set[str] = set()
        people = barred = False
        for event in batch:
            state = _STATES.get(event.kind)
            if state is not None and event.session_id is not None:
                self._tell_dependents(event.session_id, state)
                if state in ENDED:
                    changed.discard(event.session_id)
                    self.forget(event.session_id)
                elif not self._knew(event.session_id, state):
                    changed.add(event.session_id)
            elif event.kind.startswith("node."):
                touched_nodes.add(str(event.data["node"]))
            elif event.kind.startswith("group."):
                touched_groups.add(str(event.data["group"]))
            elif event.kind.startswith(_OF_PEOPLE):
                people = True
            elif event.kind.startswith(_BARS):
                barred = True
        if touched_groups:
            await self._read_groups(connection, touched_groups)
        if touched_nodes:
            self._set_nodes(await nodes.some(connection, touched_nodes))
        if people:
            await self._read_allowed(connection)
        if barred:
            await self._read_maintenance(connection)
            await self._read_closed(connection)
        await self.read_again(connection, changed)

    async def _read_groups(self, connection: AsyncConnection, names: Iterable[str]) -> None:
        for name in names:
            row = await groups.find(connection, name)
            if row is None:
                self.groups.pop(name, None)
                continue
            group = self._group(name)
            before, group.row = group.row.access, row
            if row.access != before:
                self._open_anew(group, before)
            group.reserved = await reservations.every(connection, name)
            group.rules_changed = group.due = True

    def _open_anew(self, group: Group, before: Access | None) -> None:
        """The group is open to others than before: those whom it concerns may start now, or may no more."""
        for session_id in tuple(group.requests):
            row = self.rows[session_id]
            if opens_for(before, row) != opens_for(group.row.access, row):
                why = blocked_by(row, group.row.access, self._closed)
                group.add(replace(group.requests[session_id], blocked_by=why))

    async def _read_maintenance(self, connection: AsyncConnection) -> None:
        self.maintenance = await notices.maintenance(connection)
        self._all_are_due()

    async def _read_closed(self, connection: AsyncConnection) -> None:
        """See whose sessions may not start in this month."""
        self._closed = await closures.every(connection)
        for group in self.groups.values():
            for session_id in tuple(group.requests):
                self._waits(self.rows[session_id])

    async def _read_allowed(self, connection: AsyncConnection) -> None:
        """See who may hold how much."""
        self._allowed = await policies.allowed(connection)
        self._all_are_due()

    def _all_are_due(self) -> None:
        for group in self.groups.values():
            group.due = True

    # Sessions

    def see(self, rows: Iterable[LiveRow]) -> None:
        """Sessions as they are now."""
        for row in rows:
            if row.state is SessionState.PENDING:
                self._waits(row)
            else:
                self._runs(row)

    def placed(self, session_id: str, parts: tuple[PartRow, ...], at: datetime) -> None:
        """The leader has given a waiting session its nodes."""
        row = self.rows[session_id]
        self._runs(
            replace(
                row,
                state=SessionState.SCHEDULED,
                held_since=at,
                parts=parts,
                reason="",
                waiting=None,
                preempted_for=None,
                dependencies=(),
            )
        )

    def forget(self, session_id: str) -> None:
        """A session neither waits nor holds room any more."""
        row = self.rows.pop(session_id, None)
        if row is None:
            return
        self._unlink(row)
        self._count(session_id, None)
        home = self._group(row.resource_group)
        home.drop(session_id)
        home.usage_changed |= bool(row.parts)
        for group in self._groups_of(row):
            group.end(session_id)

    def _holds(self, session_id: str) -> bool:
        row = self.rows.get(session_id)
        return row is not None and row.state is not SessionState.PENDING

    def _knew(self, session_id: str, state: SessionState) -> bool:
        """Whether an event says nothing that changes the picture."""
        row = self.rows.get(session_id)
        if row is None or row.state is SessionState.PENDING:
            return False
        return state in _PLACED or (state is SessionState.RUNNING and row.max_seconds is None)

    def _waits(self, row: LiveRow) -> None:
        try:
            request = request_of(row, self._group(row.resource_group).row.access, self._closed)
        except InvalidSlots as error:
            # Admission lets nobody in who asks for this; a row from elsewhere must not stop everybody's queue.
            _log.error("session_not_understood", session=row.id, error=error.message)
            return
        if self._holds(row.id):
            self.forget(row.id)  # it is queued anew
        self.rows[row.id] = row
        for one in row.dependencies:
            if one.on_state not in ENDED:
                self._dependents[one.on_session_id].add(row.id)
        self._group(row.resource_group).add(request)

    def _runs(self, row: LiveRow) -> None:
        before = self.rows.get(row.id)
        if before is not None:
            self._unlink(before)
        self.rows[row.id] = row
        for part in row.parts:
            self._on_node[part.node].add(row.id)
        self._group(row.resource_group).drop(row.id)
        self._place(row)

    def _place(self, row: LiveRow) -> None:
        """A session takes room in its group, and where a node of it has been moved to."""
        running = running_of(row)
        self._count(row.id, running)
        for group in self._groups_of(row):
            if group.row.name == row.resource_group:
                group.start(running)
            else:
                here = tuple(part for part in running.parts if self._group_of.get(part.node) == group.row.name)
                group.start(replace(running, parts=here, preemptible=False))

    def _count(self, session_id: str, running: Running | None) -> None:
        """A session holds this now; None: nothing any more, so that others may hold it, in whatever group."""
        before = self._counted.pop(session_id, None)
        if before is not None:
            self._tally.end(before)
        if running is not None:
            self._counted[session_id] = running
            self._tally.start(running)
        elif before is not None and self._allowed:
            self._all_are_due()

    def _groups_of(self, row: LiveRow) -> list[Group]:
        names = {row.resource_group} | {self._group_of.get(part.node, row.resource_group) for part in row.parts}
        return [self._group(name) for name in sorted(names)]

    def _unlink(self, row: LiveRow) -> None:
        for part in row.parts:
            self._on_node[part.node].discard(row.id)
        for one in row.dependencies:
            waiting = self._dependents.get(one.on_session_id, set())
            waiting.discard(row.id)
            if not waiting:
                self._dependents.pop(one.on_session_id, None)

    def _tell_dependents(self, session_id: str, state: SessionState) -> None:
        if state not in ENDED:
            return
        for waiting in self._dependents.pop(session_id, ()):
            row = self.rows[waiting]
            told = tuple(
                replace(one, on_state=state) if one.on_session_id == session_id else one for one in row.dependencies
            )
            self._waits(replace(row, dependencies=told))

    # Nodes and groups

    def _group(self, name: str) -> Group:
        if name not in self.groups:
            # Of a session that came just before its group was changed, or has outlived it.
            self.groups[name] = Group(GroupRow(name, GroupPolicy(), datetime.min))
        return self.groups[name]

    def _set_nodes(self, rows: Iterable[NodeRow]) -> None:
        for row in rows:
            before = self._group_of.get(row.name)
            if before is not None and before != row.resource_group:
                self._move(row.name, before, row.resource_group)
            self._group_of[row.name] = row.resource_group
            group = self._group(row.resource_group)
            if row.ready:
                group.set_node(node_of(row))
            else:
                group.drop_node(row.name)
            if before != row.resource_group:
                for session_id in self._on_node[row.name]:
                    self._place(self.rows[session_id])

    def _move(self, node: str, before: str, after: str) -> None:
        """A node leaves its group with all that runs on it."""
        old = self._group(before)
        old.drop_node(node)
        for session_id in self._on_node[node]:
            if self.rows[session_id].resource_group != before:
                old.end(session_id)

    # Trust, but look

    def differences(self, other: Picture) -> list[str]:
        """Where another picture says something else, group by group."""
        found = []
        for name in sorted(self.groups.keys() | other.groups.keys()):
            mine, theirs = self.groups.get(name), other.groups.get(name)
            if mine is None or theirs is None:
                found.append(f"group {name}")
                continue
            for what, left, right in (
                ("node", mine.nodes, theirs.nodes),
                ("request", mine.requests, theirs.requests),
                ("running", mine.running, theirs.running),
            ):
                found += [f"{what} {key} of group {name}" for key in _different(left, right)]
        if self._allowed != other._allowed:
            found.append("what people may hold")
        if self.maintenance != other.maintenance:
            found.append("maintenance")
        if self._closed != other._closed:
            found.append("whose sessions may not start")
        if self._tally.everything() != other._tally.everything():
            found.append("what people hold")
        return found

    def contradictions(self) -> list[str]:
        """Where the columns of a group say something else than the rows they are made of."""
        return [
            f"room of node {node} of group {group.row.name}"
            for group in self.groups.values()
            for node in _different(_room(group.state.snapshot()), _room_of(group))
        ]


def _different(left: Mapping[str, object], right: Mapping[str, object]) -> list[str]:
    return sorted(key for key in left.keys() | right.keys() if left.get(key) != right.get(key))


def _room_of(group: Group) -> dict[str, object]:
    return _room(Snapshot.of(group.nodes.values(), (), group.running.values()))


def _room(snapshot: Snapshot) -> dict[str, object]:
    """What of each node is taken."""
    taken: dict[str, object] = {}
    for at, node in enumerate(snapshot.nodes):
        slots = {slot: int(snapshot.used[k, at]) for k, slot in enumerate(snapshot.slots) if snapshot.used[k, at]}
        devices = {
            (kind, int(index)): int(used)
            for kind, columns in snapshot.devices.items()
            for index, used in zip(columns.index[at], columns.used[at], strict=True)
            if index >= 0 and used
        }
        taken[node] = (slots, devices)
    return taken
