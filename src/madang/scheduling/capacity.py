"""How many containers of a shape fit into given room: the one place that knows what fitting means."""

from __future__ import annotations

from typing import Final

import numpy as np

from madang.domain.devices import WHOLE, Claim
from madang.scheduling.columns import Amounts, DeviceColumns, Flags

MANY: Final = 1 << 30
"""As many as anybody could ask for: what fits of a container that asks for nothing."""


def how_many(
    wanted: Amounts, free: Amounts, claim: Claim | None, devices: Amounts | None, allowed: Flags | None
) -> Amounts:
    """The containers that fit into each of M places, shape (M,).

    `wanted` (K,) is what one asks for, `free` (K, M) what there is, which may be less than nothing; `devices` (M, D)
    are free thousandths of devices of the claim's kind, `allowed` (M, D) those of a right model (None: all). A claim
    for devices of which there are none at all (`devices` None) never fits.
    """
    fits = np.full(free.shape[1], MANY, dtype=np.int64)
    for slot in np.flatnonzero(wanted):
        np.minimum(fits, free[slot] // wanted[slot], out=fits)
    if claim is not None:
        if devices is None:
            fits[:] = 0
        else:
            usable = devices if allowed is None else np.where(allowed, devices, 0)
            if claim.whole:
                parts = (usable >= WHOLE).sum(axis=1) // claim.count
            else:
                parts = (np.maximum(usable, 0) // claim.milli).sum(axis=1)
            np.minimum(fits, parts, out=fits)
    return np.maximum(fits, 0, out=fits)


def allowed_devices(claim: Claim, columns: DeviceColumns) -> Flags | None:
    """The devices whose model the claim allows, shape (N, D); None when all do."""
    if not claim.models:
        return None
    # The last entry stands for places without a device, whose model is -1.
    return np.array([*(claim.allows(model) for model in columns.models), False], dtype=np.bool_)[columns.model]
