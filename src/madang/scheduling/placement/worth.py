"""What the free devices of a node are worth: how much of them the usual demand will probably fill.

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

from madang.domain.devices import WHOLE, Claim
from madang.scheduling.columns import Amounts, DeviceColumns
from madang.scheduling.demand import Ask, Demand

Numbers = npt.NDArray[np.float64]

_PATIENCE: Final = 0.97
"""The part of the worth of room that is left when one container has passed it by: who waits for the perfect one waits
in vain. Anything between 0.95 and 0.99 does as well."""

_HUNGRIER: Final = 1.3
"""What comes may need so many times the counted slots that are needed on the average."""

_PARTS: Final = (0.25, 0.5, 0.75)  # of the demand, for which levels of a counted slot are enough
_MOST_LEVELS: Final = 16  # of all slots together; of further ones it does not matter for whom they are enough

_NEXT_TO_NOTHING: Final = 1e-6
CODES: Final = WHOLE + 1
"""So many codes has a model: one for every amount that may be free of a device."""


def codes_of(model: Amounts) -> Amounts:
    """What to add to the free thousandths of devices, to tell by one number of which model (-1: no device) they are."""
    return (model + 1) * CODES


class Worth:
    """The worth of the free devices of one kind of a node, in thousandths that will probably be filled.

    Devices are given by their codes (see `codes_of`), of which there are C; counted slots by the level that they reach
    (see `level`), of which there are L. `table` has shape (L, C, Q): how much of a device the containers will fill that
    take one device or a part of one and ask for no more slots than that, and the K counted slots that they need for
    it. Containers that need several whole devices are counted by how many of them a node could hold; for each of R
    such kinds the table tells whether it is a wholly free device that they may have, 1 or 0. Q is 1 + K + R.
    """

    def __init__(self, kind: str, demand: Demand, columns: DeviceColumns, slots: Sequence[str]) -> None:
        self._models = columns.models
        rows = [(ask, weight) for ask, weight in zip(demand.asks, demand.weights, strict=True) if ask.kind == kind]
        total = sum(weight for _, weight in rows)
        single = [(ask, weight / total) for ask, weight in rows if ask.count == 1]
        several = [(ask, weight / total) for ask, weight in rows if ask.count > 1]
        asked = _amounts([ask for ask, _ in single], slots)
        weights = np.array([weight for _, weight in single])
        self._steps = _steps(asked, weights)
        self.table: Numbers = _by_code([ask for ask, _ in single], weights, asked, columns.models, self._steps)
        self._single = sum(weight for _, weight in single) / 2
        # Of a slot that is not needed so little that there is always enough of it.
        needs = _amounts([ask for ask, _ in several], slots)
        self._needs: Numbers = np.where(needs > 0, needs, _NEXT_TO_NOTHING**2)
        self._counts: Numbers = np.array([float(ask.count) for ask, _ in several])
        self._several: Numbers = np.array([weight * ask.count * WHOLE for ask, weight in several])
        whole = np.zeros((*self.table.shape[:2], len(several)))
        for row, (ask, _) in enumerate(several):
            whole[:, :, row] = self.change(ask.claim) > -np.inf
        self.table = np.concatenate([self.table, whole], axis=2)

    def change(self, claim: Claim) -> Numbers:
        """How others will fill a device once the claim has its part of it, less than before, (C,), if there are slots
        for all of them: -inf where the claim cannot have it."""
        fill = self.table[-1, :, 0]
        changed = np.full(len(fill), -np.inf)
        for group, model in enumerate(("", *self._models)):
            if group and claim.allows(model):
                first = group * CODES
                worth = fill[first : first + CODES]
                changed[first + claim.milli : first + CODES] = worth[: CODES - claim.milli] - worth[claim.milli :]
        return changed

    def level(self, free: Amounts) -> Amounts:
        """How far free counted slots (..., K) reach, (...,): one number for all slots together."""
        level = np.zeros(free.shape[:-1], dtype=np.int64)
        for slot, steps in enumerate(self._steps):
            if len(steps):
                level *= len(steps) + 1
                level += steps.searchsorted(free[..., slot], side="right")
        return level

    def of(self, free: Amounts, sums: Numbers) -> Numbers:
        """The worth of nodes, (...,).

        `free` (..., K) are free counted slots, `sums` (..., Q) those over the node's devices of the table at its level.
        """
        # How far the counted slots reach. Less than is needed does not fill proportionally less: containers that need
        # little still get in. It is the mean of what holds for average and for hungrier ones.
        slots = free.shape[-1]
        parts = free / np.maximum(sums[..., 1 : 1 + slots], _NEXT_TO_NOTHING)
        reach = np.minimum.reduce(parts, axis=-1, initial=_HUNGRIER)
        np.maximum(reach, 0.0, out=reach)
        np.sqrt(np.sqrt(reach, out=reach), out=reach)
        worth: Numbers = (np.minimum(reach, 1.0) + reach * _HUNGRIER**-0.25) * (sums[..., 0] * self._single)
        whole = sums[..., 1 + slots :]
        if whole.any():
            held = np.minimum.reduce((free[..., None, :] + _NEXT_TO_NOTHING) / self._needs, axis=-1, initial=np.inf)
            np.minimum(held, whole / self._counts, out=held)
            worth += np.add.reduce(np.floor(held, out=held) * self._several, axis=-1)
        return worth


def _amounts(asks: Sequence[Ask], slots: Sequence[str]) -> Amounts:
    """The counted slots of asks, (R, K)."""
    amounts = [dict(ask.slots) for ask in asks]
    rows = [[one.get(slot, 0) for slot in slots] for one in amounts]
    return np.array(rows, dtype=np.int64).reshape(len(asks), len(slots))


def _steps(asked: Amounts, weights: Numbers) -> list[Amounts]:
    """For each slot the amounts with which a quarter, a half and three quarters of the demand are content."""
    if not len(asked):
        return [np.zeros(0, dtype=np.int64)] * asked.shape[1]
    found: list[Amounts] = []
    levels = 1
    for amounts in asked.T:
        order = amounts.argsort(kind="stable")
        reached = weights[order].cumsum()
        steps = np.unique(amounts[order][[reached.searchsorted(reached[-1] * part) for part in _PARTS]])
        steps = steps[steps > 0]
        if levels * (len(steps) + 1) > _MOST_LEVELS:
            steps = steps[:0]
        levels *= len(steps) + 1
        found.append(steps)
    return found


def _by_code(
    asks: Sequence[Ask], weights: Numbers, asked: Amounts, models: Sequence[str], steps: Sequence[Amounts]
) -> Numbers:
    """The table without its last R columns. Where there is no device (the first codes) nothing is filled."""
    enough = np.ones((1, len(asks)), dtype=np.bool_)  # who has enough at each level, (L, R)
    for amounts, some in zip(asked.T, steps, strict=True):
        if len(some):
            # Below the first step nobody is sure to have enough who needs any, from the last on everybody may have.
            fits = amounts <= np.array([0, *some[:-1], amounts.max()])[:, None]
            enough = (enough[:, None] & fits).reshape(len(enough) * len(fits), len(asks))
    named = any(ask.models for ask in asks)
    groups = models if named else [""]
    allowed = np.array([[not named or ask.claim.allows(model) for ask in asks] for model in groups], dtype=np.bool_)
    chances = (enough[:, None] & allowed.reshape(len(groups), len(asks))) * weights  # (L, G, R)
    table = _filled(
        chances.reshape(len(enough) * len(groups), len(asks)),
        np.array([ask.milli for ask in asks], dtype=np.int64),
        asked,
    )
    table = table.reshape(len(enough), len(groups), CODES, table.shape[-1])
    if not named:
        table = np.repeat(table, len(models), axis=1)
    return np.concatenate([np.zeros_like(table[:, :1]), table], axis=1).reshape(len(table), -1, table.shape[-1])


def _filled(chances: Numbers, milli: Amounts, asked: Amounts) -> Numbers:
    """What a device will hold by its free thousandths, if R asks come with such chances, (G, R): (G, WHOLE + 1, 1 + K).

    Containers come one after the other, drawn at random; one that fits is let in, another passes by. What a device
    with r free will hold is then, by the law of total expectation, the average over those who fit of what they take
    and of what the rest will hold after that.
    """
    sizes, size = np.unique(milli, return_inverse=True)
    gain = np.concatenate([milli[:, None], asked], axis=1)
    weights = np.zeros((len(chances), len(sizes)))
    gains = np.zeros((len(chances), len(sizes), gain.shape[1]))
    for row, at in enumerate(size.tolist()):
        weights[:, at] += chances[:, row]
        gains[:, at] += chances[:, row, None] * gain[row]
    step = math.gcd(WHOLE, *sizes.tolist())
    table = np.zeros((len(chances), WHOLE // step + 1, gain.shape[1]))
    steps = sizes // step
    for r in range(1, WHOLE // step + 1):
        fitting = int(np.searchsorted(steps, r, side="right"))
        if fitting:
            some = weights[:, :fitting]
            after = (some[:, :, None] * table[:, r - steps[:fitting]]).sum(axis=1)
            chance = some.sum(axis=1)[:, None]
            table[:, r] = _PATIENCE * (gains[:, :fitting].sum(axis=1) + after) / (1 - _PATIENCE * (1 - chance))
    return np.repeat(table, step, axis=1)[:, :CODES]
