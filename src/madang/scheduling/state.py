"""A resource group kept up to date bit by bit, so that a snapshot of it costs what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from madang.scheduling.columns import (
    Amounts,
    DeviceColumns,
    HoldingColumns,
    Interned,
    NodeColumns,
    Places,
    RequestColumns,
    add_holdings,
    held_by_user,
)
from madang.scheduling.demand import Demand, DemandCounter
from madang.scheduling.memory import Memory
from madang.scheduling.rows import Node, Request, Running
from madang.scheduling.snapshot import LINEAGES, Snapshot, named_slots, wanted_of
from madang.scheduling.tables import HoldingTable, RequestTable

_FORGOTTEN = 512  # so many more shapes than requests are remembered before all is numbered anew


class ClusterState:
    """Nodes, queue and running sessions of one resource group. Not for several threads at once.

    A node that comes, goes or changes otherwise than in what is used of it has everything put into columns anew at the
    next snapshot; so has a slot that nobody named before. All else changes single rows.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._requests: dict[str, Request] = {}
        self._running: dict[str, Running] = {}
        self._giving_way: Counter[str] = Counter()
        self._gave_way: Counter[str] = Counter()
        self._demand = DemandCounter()
        self._looked_at = False  # until then sessions may be running that never waited here
        self._columns: _Columns | None = None

    def set_node(self, node: Node) -> None:
        """Add a node, or change one: what its running sessions hold stays theirs."""
        before = self._nodes.get(node.name)
        if before == node:
            return
        self._nodes[node.name] = node
        self._columns = None

    def drop_node(self, name: str) -> None:
        """Forget a node; sessions on it keep running as far as this state knows."""
        if self._nodes.pop(name, None) is not None:
            self._columns = None

    def add(self, request: Request) -> None:
        """A session begins to wait, or waits for something else than before."""
        if request.id not in self._requests:
            self._demand.asked(request)
        self.drop(request.id)
        self._requests[request.id] = request
        if request.gave_way_to:
            self._gave_way[request.gave_way_to] += 1
        if self._columns is not None and not self._columns.add(request):
            self._columns = None

    def drop(self, request_id: str) -> None:
        """A session no longer waits."""
        request = self._requests.pop(request_id, None)
        if request is None:
            return
        _less(self._gave_way, request.gave_way_to)
        if self._columns is not None:
            self._columns.drop(request)

    def start(self, running: Running) -> None:
        """A session takes the room of its parts; one that is known already is replaced. It no longer waits."""
        if not self._looked_at and running.id not in self._requests:
            self._demand.runs(running)
        self.drop(running.id)
        self.end(running.id)
        self._running[running.id] = running
        if running.making_room_for:
            self._giving_way[running.making_room_for] += 1
        if self._columns is not None and not self._columns.start(running):
            self._columns = None

    def end(self, session_id: str) -> None:
        """A session gives its room back."""
        running = self._running.pop(session_id, None)
        if running is None:
            return
        _less(self._giving_way, running.making_room_for)
        if self._columns is not None:
            self._columns.end(session_id)

    def snapshot(self) -> Snapshot:
        """What a pass looks at; later changes of the state do not show in it."""
        self._looked_at = True
        if self._columns is None or self._columns.stale(len(self._requests)):
            self._columns = _Columns(self._nodes.values(), self._requests.values(), self._running.values())
        return self._columns.snapshot(
            tuple(self._running.values()), dict(self._giving_way), frozenset(self._gave_way), self._demand.demand()
        )


def _less(counter: Counter[str], name: str) -> None:
    if name:
        counter[name] -= 1
        if not counter[name]:
            del counter[name]


class _Columns:
    """Everything in columns, under one lineage."""

    def __init__(self, nodes: Iterable[Node], requests: Iterable[Request], running: Iterable[Running]) -> None:
        waiting = sorted(requests, key=lambda one: (one.arrived, one.id))
        holding = list(running)
        self._lineage = next(LINEAGES)
        self._nodes = NodeColumns.of(nodes, named_slots(waiting, holding))
        self._places = Places(self._nodes)
        self._memory = Memory(self._nodes)
        self._interned = Interned()
        self._kinds = list(self._nodes.devices.values())
        holdings = HoldingColumns.of(holding, self._places, self._interned)
        self._requests = RequestTable(RequestColumns.of(waiting, self._interned), self._interned)
        add_holdings(self._nodes, holdings)
        self._held: Amounts = held_by_user(holdings, len(self._interned.users), len(self._kinds))
        self._holdings = HoldingTable(holdings, self._places, self._interned)
        self._wanted: Amounts = wanted_of(self._interned.shapes, self._nodes.slots)
        self._change = 1  # counts changes of nodes
        self._versions: Amounts = np.ones(len(self._nodes.names), dtype=np.int64)
        self._last: tuple[RequestColumns | None, HoldingColumns | None] = (None, None)

    def stale(self, requests: int) -> bool:
        """Whether far more shapes are remembered than are still asked for."""
        return len(self._interned.shapes) > 2 * requests + _FORGOTTEN

    def add(self, request: Request) -> bool:
        """Returns False when the columns have no place for what it asks for."""
        if not request.slots.keys() <= self._places.slot.keys():
            return False
        self._requests.add(request)
        self._last = (None, self._last[1])
        return True

    def drop(self, request: Request) -> None:
        self._requests.drop(request)
        self._last = (None, self._last[1])

    def start(self, running: Running) -> bool:
        """Returns False when the columns have no place for what it holds."""
        if any(not part.slots.keys() <= self._places.slot.keys() for part in running.parts):
            return False
        self._use(self._holdings.add(running), 1)
        return True

    def end(self, session_id: str) -> None:
        self._use(self._holdings.rows(session_id), -1)
        self._holdings.drop(session_id)

    def _use(self, rows: Sequence[int], sign: int) -> None:
        self._last = (self._last[0], None)
        self._fit_users()
        slots = len(self._nodes.slots)
        for row in rows:
            node, user, kind, amounts, milli = self._holdings.amounts(row)
            self._nodes.used[:, node] += sign * amounts
            self._held[user, :slots] += sign * amounts
            if kind >= 0:
                used = self._kinds[kind].used
                used[node] += sign * milli[: used.shape[1]]
                self._held[user, slots + kind] += sign * milli.sum()
            self._change += 1
            self._versions[node] = self._change

    def _fit_users(self) -> None:
        missing = len(self._interned.users) - len(self._held)
        if missing > 0:
            more = np.zeros((max(missing, len(self._held)), self._held.shape[1]), dtype=np.int64)
            self._held = np.concatenate([self._held, more])

    def _shapes(self) -> Amounts:
        known = len(self._wanted)
        if len(self._interned.shapes) > known:
            more = wanted_of(self._interned.shapes[known:], self._nodes.slots)
            self._wanted = np.concatenate([self._wanted, more])
        return self._wanted

    def snapshot(
        self, running: tuple[Running, ...], giving_way: Mapping[str, int], gave_way: Collection[str], demand: Demand
    ) -> Snapshot:
        nodes = self._nodes
        self._fit_users()
        # Columns are only ever replaced as a whole, so those that have not changed are given out again.
        requests = self._last[0] or self._requests.columns()
        holdings = self._last[1] or self._holdings.columns()
        self._last = (requests, holdings)
        return Snapshot(
            nodes.slots,
            nodes.features,
            nodes.names,
            nodes.capacity,
            nodes.used.copy(),
            nodes.offers,
            {kind: _copied(columns) for kind, columns in nodes.devices.items()},
            self._interned.shapes,
            self._shapes(),
            self._interned.forms,
            self._interned.users,
            self._interned.projects,
            self._held[: len(self._interned.users)].copy(),
            requests,
            holdings,
            running,
            giving_way,
            gave_way,
            demand,
            self._places,
            self._memory,
            self._lineage,
            self._versions.copy(),
        )


def _copied(one: DeviceColumns) -> DeviceColumns:
    return DeviceColumns(one.models, one.index, one.model, one.numa, one.links, one.used.copy())
