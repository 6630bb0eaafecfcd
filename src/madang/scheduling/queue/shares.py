"""Whoever has the smallest share goes next: the turn that dominant resource fairness and fair share have in common."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final

import numpy as np

from madang.domain.devices import WHOLE
from madang.scheduling.policy import Policy
from madang.scheduling.queue.base import Line
from madang.scheduling.snapshot import Amounts, Snapshot

_LEAST: Final = 1e-9  # a weight of nothing would divide by nothing


def capacities(snapshot: Snapshot) -> Amounts:
    """What the group has of every slot and of every kind of device in thousandths, shape (K + Q,)."""
    devices = [int((columns.index >= 0).sum()) * WHOLE for columns in snapshot.devices.values()]
    return np.array([*snapshot.capacity.sum(axis=1).tolist(), *devices], dtype=np.int64)


class ShareTurn:
    """The request of the account with the smallest share next, of equals the one that came first.

    An account is a user in a project. The share is the user's: of the slot of which the largest part of the group is
    in use by all sessions of the user, plus `before` of that slot (U, K + Q); divided by the weights of user and
    project. It is computed anew after every placement. A heap keeps the accounts: shares only grow during a pass, so
    an entry with an outdated share is put back when it comes up.
    """

    def __init__(
        self, snapshot: Snapshot, line: Line, policy: Policy, before: Sequence[Sequence[float]] | None = None
    ) -> None:
        self._account: list[int] = snapshot.requests.account.tolist()
        self._form: list[int] = snapshot.requests.form.tolist()
        total = capacities(snapshot).tolist()
        # Of a slot the group does not have nobody can be given anything.
        self._slots = [slot for slot, amount in enumerate(total) if amount > 0]
        self._total = total
        self._held = snapshot.held.tolist()
        self._before = before
        self._user = [user for user, _ in snapshot.accounts]
        weights = policy.weights
        self._weight = [
            max(weights.users.get(snapshot.users[user], 1.0) * weights.projects.get(project, 1.0), _LEAST)
            for user, project in snapshot.accounts
        ]
        self._share: dict[int, float] = {}
        self._amounts: dict[int, list[tuple[int, int]]] = {}
        self._snapshot = snapshot
        self._lines = _by_level_and_account(snapshot, line)
        self._heap: list[tuple[float, int, int]] = []  # share over weight, row, account
        self._now: dict[int, list[int]] = {}  # the rows of every account of the present level, last first

    def next(self) -> int | None:
        heap = self._heap
        while True:
            if not heap:
                if not self._lines:
                    return None
                self._open(self._lines.pop())
            share, row, account = heap[0]
            current = self._key(account)
            if share != current:
                heapq.heapreplace(heap, (current, row, account))
                continue
            rows = self._now[account]
            rows.pop()
            if rows:
                heapq.heapreplace(heap, (share, rows[-1], account))
            else:
                heapq.heappop(heap)
            return row

    def placed(self, row: int) -> None:
        user = self._user[self._account[row]]
        held = self._held[user]
        for slot, amount in self._asked(self._form[row]):
            held[slot] += amount
        self._share.pop(user, None)

    def _open(self, accounts: dict[int, list[int]]) -> None:
        self._now = accounts
        for account, rows in accounts.items():
            self._heap.append((self._key(account), rows[-1], account))
        heapq.heapify(self._heap)

    def _key(self, account: int) -> float:
        user = self._user[account]
        share = self._share.get(user)
        if share is None:
            held, total = self._held[user], self._total
            if self._before is None:
                share = max((held[slot] / total[slot] for slot in self._slots), default=0.0)
            else:
                before = self._before[user]
                share = max((before[slot] + held[slot] / total[slot] for slot in self._slots), default=0.0)
            self._share[user] = share
        return share / self._weight[account]

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


def _by_level_and_account(snapshot: Snapshot, line: Line) -> list[dict[int, list[int]]]:
    """The rows of every account, the first to be served last, for every level, the highest level last."""
    account = snapshot.requests.account[line.rows]
    order = np.lexsort((-line.rows, account, line.level))
    rows, account, level = line.rows[order], account[order], line.level[order]
    ends = np.flatnonzero((np.diff(account) != 0) | (np.diff(level) != 0)) + 1
    found: list[dict[int, list[int]]] = []
    before: int | None = None
    for begin, end in zip([0, *ends.tolist()], [*ends.tolist(), len(rows)], strict=True):
        if begin == end:
            continue
        if before is None or level[begin] != before:
            found.append({})
            before = int(level[begin])
        found[-1][int(account[begin])] = rows[begin:end].tolist()
    return found
