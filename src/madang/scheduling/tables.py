"""Columns that rows come into and leave at any time, without the others being touched."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import replace

import numpy as np

from madang.scheduling.columns import KINDS, Amounts, HoldingColumns, Interned, Places, RequestColumns, yields
from madang.scheduling.rows import Request, Running

_LEAST = 64  # rows a table begins with; it doubles when it is full


class RequestTable:
    """The waiting requests. Rows stay where they are; who left leaves a gap that the next one takes."""

    def __init__(self, columns: RequestColumns, interned: Interned) -> None:
        self._interned = interned
        count = len(columns)
        self._rows: list[Request | None] = list(columns.rows)
        self._order: array[int] = array("q", range(count))  # the rows by time of arrival, then by id
        self._keys = [(one.arrived, one.id) for one in columns.rows]
        self._gaps: list[int] = []
        size = max(count, _LEAST)
        self._numbers = np.zeros((5, size), dtype=np.int64)
        self._times = np.zeros((4, size), dtype=np.float64)
        self._blocked = np.zeros(size, dtype=np.bool_)
        self._numbers[:, :count] = columns.form, columns.user, columns.project, columns.kind, columns.priority
        self._times[:, :count] = columns.arrived, columns.start_at, columns.max_seconds, columns.deadline
        self._blocked[:count] = columns.blocked

    def add(self, request: Request) -> None:
        """A request that is not in the table."""
        if self._gaps:
            row = self._gaps.pop()
            self._rows[row] = request
        else:
            row = len(self._rows)
            self._rows.append(request)
            if row == len(self._blocked):
                self._numbers = np.concatenate([self._numbers, np.zeros_like(self._numbers)], axis=1)
                self._times = np.concatenate([self._times, np.zeros_like(self._times)], axis=1)
                self._blocked = np.concatenate([self._blocked, np.zeros_like(self._blocked)])
        key = (request.arrived, request.id)
        at = bisect_left(self._keys, key)
        self._keys.insert(at, key)
        self._order.insert(at, row)
        self._numbers[:, row] = (
            self._interned.form(request),
            self._interned.user(request.user),
            self._interned.project(request.project),
            KINDS.index(request.kind),
            request.priority,
        )
        self._times[:, row] = (
            request.arrived,
            -np.inf if request.start_at is None else request.start_at,
            np.inf if request.max_seconds is None else request.max_seconds,
            np.inf if request.deadline is None else request.deadline,
        )
        self._blocked[row] = request.blocked_by is not None

    def drop(self, request: Request) -> None:
        """A request that is in the table."""
        at = bisect_left(self._keys, (request.arrived, request.id))
        row = self._order[at]
        del self._keys[at], self._order[at]
        self._rows[row] = None
        self._gaps.append(row)

    def columns(self) -> RequestColumns:
        """All of them in order; later changes of the table do not show in it."""
        order: Amounts = np.array(self._order, dtype=np.int64)
        numbers, times = self._numbers[:, order], self._times[:, order]
        rows = tuple(row for row in map(self._rows.__getitem__, self._order) if row is not None)
        form, user, project, kind, priority = numbers
        arrived, start_at, max_seconds, deadline = times
        blocked = self._blocked[order]
        return RequestColumns(
            rows, form, user, project, kind, priority, arrived, start_at, max_seconds, deadline, blocked
        )


class HoldingTable:
    """The room of running sessions. The last row takes the place of one that leaves."""

    def __init__(self, columns: HoldingColumns, places: Places, interned: Interned) -> None:
        self._places = places
        self._interned = interned
        self._owner = list(columns.owner)  # the session of every row
        self._number = len(columns)  # of the next session
        self._rows: dict[str, list[int]] = {}
        for row, owner in enumerate(self._owner):
            self._rows.setdefault(owner, []).append(row)
        self._columns = columns.sized(max(len(columns), _LEAST))

    def add(self, running: Running) -> list[int]:
        """A session that is not in the table; returns the rows of its parts on known nodes."""
        found = []
        self._number += 1
        for part in running.parts:
            node = self._places.node.get(part.node)
            if node is None:
                continue
            row = len(self._owner)
            if row == len(self._columns.node):
                self._columns = self._columns.sized(2 * row)
            columns = self._columns
            columns.session[row] = self._number
            columns.yields[row] = yields(running)
            columns.node[row] = node
            columns.user[row] = self._interned.user(running.user)
            columns.started[row] = running.started
            columns.ends[row] = np.inf if running.ends is None else running.ends
            columns.slots[row] = 0
            columns.milli[row] = 0
            columns.kind[row] = self._places.kind.get(part.kind, -1)
            self._places.write(part, columns.slots[row], columns.milli[row])
            self._owner.append(running.id)
            found.append(row)
        self._rows[running.id] = found
        return found

    def rows(self, session_id: str) -> list[int]:
        """The rows of a session."""
        return self._rows.get(session_id, [])

    def drop(self, session_id: str) -> None:
        """A session that is in the table, or not."""
        for row in sorted(self._rows.pop(session_id, []), reverse=True):
            last = len(self._owner) - 1
            owner = self._owner.pop()
            if row != last:
                self._columns.move(last, row)
                self._owner[row] = owner
                moved = self._rows[owner]
                moved[moved.index(last)] = row

    def amounts(self, row: int) -> tuple[int, int, int, Amounts, Amounts]:
        """The node, the user, the kind of device (-1: none), the slots (K,) and the thousandths (D,) of a row."""
        columns = self._columns
        return (
            int(columns.node[row]),
            int(columns.user[row]),
            int(columns.kind[row]),
            columns.slots[row],
            columns.milli[row],
        )

    def columns(self) -> HoldingColumns:
        """All of them; later changes of the table do not show in it."""
        count = len(self._owner)
        return replace(self._columns.sized(count), owner=self._owner.copy())
