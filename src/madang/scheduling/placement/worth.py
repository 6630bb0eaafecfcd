"""What the free devices of nodes are worth: how much of them the demand will probably fill.

Fragmentation of a node, in "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient
Descent" (Weng et al., USENIX ATC 2023), is how much of its free devices the next container, drawn from the usual
demand, could not use. Here it looks further than the next one: it is how much of them would be left if containers of
the usual demand kept coming. What is worth more by that measure is less fragmented.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from madang.domain.devices import WHOLE
from madang.scheduling.columns import Amounts, DeviceColumns
from madang.scheduling.demand import Ask, Demand

Numbers = npt.NDArray[np.float64]

_PATIENCE: Final = 0.97
"""The part of the worth of room that is left when one container has passed it by: who waits for the perfect one waits
in vain. Anything between 0.95 and 0.99 does as well."""

_MARGINS: Final = (1.0, 1.3)
"""So many times the counted slots that devices need on the average: what comes may be hungrier."""


class Worth:
    """The worth of free devices of one kind, in thousandths of a device that will probably be filled.

    `fill` has shape (G, WHOLE + 1, 1 + K): for a device of each of G groups of models, by its free thousandths, how
    much of that containers will fill that take one device or a part of one, and the counted slots they need for it.
    Containers that need several whole devices are counted by how many of them a node could hold.
    """

    def __init__(self, kind: str, demand: Demand, columns: DeviceColumns, slots: Sequence[str]) -> None:
        some = [
            (ask, weight)
            for ask, weight in zip(demand.asks, demand.weights, strict=True)
            if ask.kind == kind and weight
        ]
        total = sum(weight for _, weight in some)
        rows = [(ask, weight / total) for ask, weight in some]
        several = [(ask, weight) for ask, weight in rows if ask.count > 1]
        single = [(ask, weight) for ask, weight in rows if ask.count == 1]
        named = any(ask.models for ask, _ in single)
        self.group: Amounts | None = columns.model if named else None
        """The group of each device, shape (N, D); None when there is only one. -1 where there is no device."""
        models = [*columns.models, ""] if named else [None]
        self.fill: Numbers = _filled(single, models, slots)
        self._single = sum(weight for _, weight in single)
        self._counts: Amounts = np.array([ask.count for ask, _ in several], dtype=np.int64)
        self._several: Numbers = np.array([weight * ask.count * WHOLE for ask, weight in several])
        self._needs = [_amounts(ask, slots) for ask, _ in several]

    def of(self, free: Amounts, fill: Numbers, whole: Amounts) -> Numbers:
        """The worth of M nodes, shape (M,).

        `free` (K, M) are free counted slots, `fill` (M, 1 + K) the sums over the node's devices of what the table
        says, `whole` (M,) how many devices are wholly free.
        """
        # How far the counted slots reach. Less than they need does not fill proportionally less: containers that need
        # little still get in.
        enough = np.full(free.shape[1], np.inf)
        for slot in range(len(free)):
            np.minimum(enough, free[slot] / np.maximum(fill[:, 1 + slot], 1e-9), out=enough)
        reach: Numbers = sum((np.sqrt(np.sqrt(np.minimum(enough / one, 1.0))) for one in _MARGINS), np.zeros(1))
        worth: Numbers = fill[:, 0] * reach * (self._single / len(_MARGINS))
        if len(self._counts):
            worth += (self._held(free, whole) * self._several).sum(axis=1)
        return worth

    def _held(self, free: Amounts, whole: Amounts) -> Amounts:
        """How many containers of each kind that needs several devices fit, shape (M, R)."""
        held: Amounts = whole[:, None] // self._counts
        for row, needs in enumerate(self._needs):
            for slot, amount in needs:
                np.minimum(held[:, row], free[slot] // amount, out=held[:, row])
        return held


def _amounts(ask: Ask, slots: Sequence[str]) -> list[tuple[int, int]]:
    asked = dict(ask.slots)
    return [(at, asked[slot]) for at, slot in enumerate(slots) if asked.get(slot)]


def _filled(rows: Sequence[tuple[Ask, float]], models: Sequence[str | None], slots: Sequence[str]) -> Numbers:
    """The table `fill`: by the free thousandths of a device, from nothing to all of it.

    Containers come one after the other, drawn at random; one that fits is let in, another passes by. What a device
    with r free will hold is then, by the law of total expectation, the average over those who fit of what they take
    and of what the rest will hold after that.
    """
    sizes = sorted({ask.milli for ask, _ in rows})
    weights = np.zeros((len(models), len(sizes)))
    gains = np.zeros((len(models), len(sizes), 1 + len(slots)))
    for ask, weight in rows:
        at, claim = sizes.index(ask.milli), ask.claim
        amounts = dict(ask.slots)
        gain = np.array([ask.milli, *(amounts.get(slot, 0) for slot in slots)])
        for group, model in enumerate(models):
            if model is None or claim.allows(model):
                weights[group, at] += weight
                gains[group, at] += weight * gain
    step = math.gcd(WHOLE, *sizes)
    table = np.zeros((len(models), WHOLE // step + 1, 1 + len(slots)))
    steps = np.array(sizes, dtype=np.int64) // step
    for r in range(1, WHOLE // step + 1):
        fitting = int(np.searchsorted(steps, r, side="right"))
        if fitting:
            some = weights[:, :fitting]
            after = (some[:, :, None] * table[:, r - steps[:fitting]]).sum(axis=1)
            chance = some.sum(axis=1)[:, None]
            table[:, r] = _PATIENCE * (gains[:, :fitting].sum(axis=1) + after) / (1 - _PATIENCE * (1 - chance))
    return np.repeat(table, step, axis=1)[:, : WHOLE + 1]
