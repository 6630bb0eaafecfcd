"""Whoever has the smallest share goes next: the turn that dominant resource fairness and fair share have in common."""

from __future__ import annotations

import heapq
from typing import Final

import numpy as np

from madang.scheduling.policy import Policy
from madang.scheduling.queue.base import Line
from madang.scheduling.snapshot import Snapshot, Times

_LEAST: Final = 1e-9  # a weight of nothing would divide by nothing


class ShareTurn:
    """The next session of the user with the smallest share; of equals, the one that came first.

    The share of a user is that of the slot of which the user's sessions together use the largest part of the group,
    plus what was used of it `before` (U, K + Q). It is divided by the weight of the user and that of the project of the
    next session, and computed anew after every placement. Of one user, sessions of the weightiest project go first.
    """

    def __init__(self, snapshot: Snapshot, line: Line, policy: Policy, before: Times | None = None) -> None:
        total = snapshot.memory.total.tolist()
        # Of a slot the group does not have nobody can be given anything.
        self._total = [(slot, amount) for slot, amount in enumerate(total) if amount > 0]
        self._snapshot = snapshot
        self._line = line
        self._before = before
        self._users = policy.weights.users
        self._weight = _project_weights(snapshot, policy)  # by project; None: all alike
        self._share: dict[int, tuple[list[int], list[float]]] = {}  # by user: what is held, and was used before
        self._amounts: dict[int, list[tuple[int, int]]] = {}
        self._levels = _by_level_and_user(snapshot, line, self._weight)
        self._rows: dict[int, list[int]] = {}  # of every user on the present level, last first
        self._heap: list[tuple[float, int, int]] = []  # share over weight, row, user
        self._even: float | None = None
        self._named: int | None = None  # the user whose row was named last: its entry is put back when that is decided

    def next(self) -> int | None:
        heap = self._heap
        if self._named is not None:
            user, self._named = self._named, None
            rows = self._rows[user]
            if rows:
                heapq.heapreplace(heap, (self._key(user, rows[-1]), rows[-1], user))
            else:
                heapq.heappop(heap)
        if not heap:
            if not self._levels:
                return None
            self._rows = self._levels.pop()
            heap += [(self._key(user, rows[-1]), rows[-1], user) for user, rows in self._rows.items()]
            heapq.heapify(heap)
        _, row, user = heap[0]
        self._rows[user].pop()
        self._named = user
        return row

    def placed(self, row: int) -> None:
        assert self._named is not None  # noqa: S101 - the row was named
        held = self._of(self._named)[0]
        for slot, amount in self._asked(self._snapshot.requests.form.item(row)):
            held[slot] += amount

    def owed(self, row: int) -> bool:
        """Whether the user has no more than an even part of the group: even between all who wait or run, by weight."""
        requests = self._snapshot.requests
        if self._even is None:
            waiting = np.unique(requests.user[self._line.rows])
            active = np.union1d(waiting, np.flatnonzero(self._snapshot.held.any(axis=1))).tolist()
            self._even = 1 / max(sum(self._users.get(self._snapshot.users[user], 1.0) for user in active), _LEAST)
        user = int(requests.user[row])
        return self._share_of(user) / max(self._users.get(self._snapshot.users[user], 1.0), _LEAST) <= self._even

    def _of(self, user: int) -> tuple[list[int], list[float]]:
        known = self._share.get(user)
        if known is None:
            before = [] if self._before is None else self._before[user].tolist()
            known = self._share[user] = self._snapshot.held[user].tolist(), before
        return known

    def _share_of(self, user: int) -> float:
        held, before = self._of(user)
        if before:
            return max([before[slot] + held[slot] / amount for slot, amount in self._total], default=0.0)
        return max([held[slot] / amount for slot, amount in self._total], default=0.0)

    def _key(self, user: int, row: int) -> float:
        share = self._share_of(user)
        weight = self._users.get(self._snapshot.users[user], 1.0) if self._users else 1.0
        if self._weight is not None:
            weight *= self._weight[self._snapshot.requests.project.item(row)]
        # Rounded, so that equal shares are equal also where floats differ in their last digit.
        return round(share / max(weight, _LEAST), 12)

    def _asked(self, number: int) -> list[tuple[int, int]]:
        known = self._amounts.get(number)
        if known is None:
            form = self._snapshot.forms[number]
            wanted = self._snapshot.wanted[form.shape].tolist()
            known = [(slot, amount * form.size) for slot, amount in enumerate(wanted) if amount]
            claim = self._snapshot.shapes[form.shape].claim
            if claim is not None:
                kind = list(self._snapshot.devices).index(claim.kind)
                known.append((len(wanted) + kind, claim.total * form.size))
            self._amounts[number] = known
        return known


def _project_weights(snapshot: Snapshot, policy: Policy) -> list[float] | None:
    weights = policy.weights.projects
    return [weights.get(project, 1.0) for project in snapshot.projects] if weights else None


def _by_level_and_user(snapshot: Snapshot, line: Line, weight: list[float] | None) -> list[dict[int, list[int]]]:
    """The rows of every user, the first to be served last, for every level, the highest level last."""
    rows, level = line.rows, line.level
    user = snapshot.requests.user[rows]
    if weight is None:
        order = np.lexsort((-rows, user, level))
    else:
        order = np.lexsort((-rows, np.array(weight)[snapshot.requests.project[rows]], user, level))
    rows, user, level = rows[order], user[order], level[order]
    ends = [*(np.flatnonzero((user[1:] != user[:-1]) | (level[1:] != level[:-1])) + 1).tolist(), len(rows)]
    found: list[dict[int, list[int]]] = []
    begin, before = 0, 0
    for end in ends if len(rows) else []:
        if not found or int(level[begin]) != before:
            found.append({})
            before = int(level[begin])
        found[-1][int(user[begin])] = rows[begin:end].tolist()
        begin = end
    return found
