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

_NEXT_TO_NOTHING: Final = 1e-6
_CODES: Final = WHOLE + 1


def codes_of(columns: DeviceColumns) -> Amounts:
    """What to add to the free thousandths of devices, shape (N, D), to tell by one number of which model they are."""
    return (columns.model + 1) * _CODES


class Worth:
    """The worth of the free devices of one kind of a node, in thousandths that will probably be filled.

    Devices are given by their codes (see `codes_of`), of which there are C. `fill` has shape (C, 1 + K): how much of a
    device the containers will fill that take one device or a part of one, and the counted slots that they need for it.
    Those that need several whole devices are counted by how many of them a node could hold.
    """

    def __init__(self, kind: str, demand: Demand, columns: DeviceColumns, slots: Sequence[str]) -> None:
        self._models = columns.models
        rows = [(ask, weight) for ask, weight in zip(demand.asks, demand.weights, strict=True) if ask.kind == kind]
        total = sum(weight for _, weight in rows)
        single = [(ask, weight / total) for ask, weight in rows if ask.count == 1]
        several = [(ask, weight / total) for ask, weight in rows if ask.count > 1]
        self.fill: Numbers = _by_code(single, columns.models, slots)
        self._single = sum(weight for _, weight in single) / 2
        # (R, K); of a slot that is not needed so little that there is always enough of it.
        self._needs: Numbers = np.array(
            [[float(dict(ask.slots).get(slot, 0)) or _NEXT_TO_NOTHING**2 for slot in slots] for ask, _ in several]
        ).reshape(len(several), len(slots))
        self._counts: Numbers = np.array([float(ask.count) for ask, _ in several])
        self._several: Numbers = np.array([weight * ask.count * WHOLE for ask, weight in several])
        self.whole: Amounts = np.zeros((len(self.fill), len(several)), dtype=np.int64)
        """Which codes are wholly free devices that containers of the R kinds may have, (C, R): 1 or 0."""
        for row, (ask, _) in enumerate(several):
            self.whole[:, row] = self.change(ask.claim) > -np.inf

    def change(self, claim: Claim) -> Numbers:
        """How much less of a device others will fill once the claim has its part of it, (C,): -inf where it cannot."""
        changed = np.full(len(self.fill), -np.inf)
        for group, model in enumerate(("", *self._models)):
            if group and claim.allows(model):
                first = group * _CODES
                worth = self.fill[first : first + _CODES, 0]
                changed[first + claim.milli : first + _CODES] = worth[: _CODES - claim.milli] - worth[claim.milli :]
        return changed

    def of(self, free: Amounts, fill: Numbers, whole: Amounts) -> Numbers:
        """The worth of M nodes, (M,).

        `free` (M, K) are free counted slots, `fill` (M, 1 + K) the sums of what the table says of the node's devices,
        `whole` (M, R) how many of them are wholly free.
        """
        # How far the counted slots reach. Less than is needed does not fill proportionally less: containers that need
        # little still get in. It is the mean of what holds for average and for hungrier ones.
        reach = (free / np.maximum(fill[:, 1:], _NEXT_TO_NOTHING)).min(axis=1, initial=_HUNGRIER)
        np.maximum(reach, 0.0, out=reach)
        np.sqrt(np.sqrt(reach, out=reach), out=reach)
        worth: Numbers = (np.minimum(reach, 1.0) + reach * _HUNGRIER**-0.25) * fill[:, 0] * self._single
        if len(self._counts):
            held = ((free[:, None] + _NEXT_TO_NOTHING) / self._needs).min(axis=2, initial=np.inf)
            np.minimum(held, whole / self._counts, out=held)
            worth += (np.floor(held) * self._several).sum(axis=1)
        return worth


def _by_code(rows: Sequence[tuple[Ask, float]], models: Sequence[str], slots: Sequence[str]) -> Numbers:
    """The table `fill`. Without a device (the first codes) nothing is filled."""
    nothing = np.zeros((1, _CODES, 1 + len(slots)))
    if any(ask.models for ask, _ in rows):
        filled = _filled(rows, models, slots)
    else:
        filled = np.repeat(_filled(rows, [None], slots), len(models), axis=0)
    return np.concatenate([nothing, filled]).reshape(-1, 1 + len(slots))


def _filled(rows: Sequence[tuple[Ask, float]], models: Sequence[str | None], slots: Sequence[str]) -> Numbers:
    """What a device of each of G models (None: any) will hold, by its free thousandths, (G, WHOLE + 1, 1 + K).

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
    return np.repeat(table, step, axis=1)[:, :_CODES]
