"""What is remembered of nodes from pass to pass, and looked at anew only where something has changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from madang.domain.devices import WHOLE, Claim
from madang.scheduling.capacity import allowed_devices, how_many
from madang.scheduling.columns import Amounts, DeviceColumns, Flags, HoldingColumns, NodeColumns
from madang.scheduling.ends import Ends
from madang.scheduling.rows import Shape


class DeviceSums:
    """What the free devices of some models come to on every node: whole ones, and the most that is free of one."""

    def __init__(self, free: Amounts, allowed: Flags | None) -> None:
        usable = free if allowed is None else np.where(allowed, free, 0)
        self.whole: Amounts = (usable == WHOLE).sum(axis=1)
        self.most: Amounts = usable.max(axis=1, initial=0)
        self._allowed = allowed

    def copy(self) -> DeviceSums:
        """One that may be changed."""
        other = object.__new__(DeviceSums)
        other.whole, other.most, other._allowed = self.whole.copy(), self.most.copy(), self._allowed
        return other

    def look(self, node: int, amounts: Sequence[int]) -> tuple[int, int]:
        """Look at a node anew, of whose devices so much is free by place; returns its whole ones, and the most."""
        if self._allowed is not None:
            amounts = [amount for amount, may in zip(amounts, self._allowed[node].tolist(), strict=True) if may]
        self.whole[node] = whole = amounts.count(WHOLE)
        self.most[node] = most = max(amounts, default=0)
        return whole, most


class Memory:
    """Belongs to the snapshots of one lineage, whose nodes stay the same but for what is used of them.

    What depends on that is kept together with the versions of the nodes it was made of: `fits` are the nodes on which a
    shape fits, `sums` what devices of some models come to. `ends` belong to the very columns they were made of.
    """

    def __init__(self, nodes: NodeColumns) -> None:
        self._nodes = nodes
        self._suitable: dict[int, Flags] = {}
        self._allowed: dict[tuple[str, tuple[str, ...]], Flags | None] = {}
        self._largest: dict[int, Amounts] = {}
        self.fits: dict[int, tuple[Amounts, Flags]] = {}
        self.ends: tuple[HoldingColumns, Ends] | None = None
        self.sums: dict[tuple[str, tuple[str, ...]], tuple[Amounts, DeviceSums]] = {}
        devices = [int(columns.present.sum()) * WHOLE for columns in nodes.devices.values()]
        self.total: Amounts = np.array([*nodes.capacity.sum(axis=1).tolist(), *devices], dtype=np.int64)
        """What the group has of every slot, and of every kind of device in thousandths, shape (K + Q,)."""

    def suitable(self, number: int, shape: Shape) -> Flags:
        """The nodes that offer every feature the shape needs, shape (N,)."""
        known = self._suitable.get(number)
        if known is None:
            known = np.ones(len(self._nodes.names), dtype=np.bool_)
            for feature in shape.needs:
                if feature in self._nodes.features:
                    known &= self._nodes.offers[self._nodes.features.index(feature)]
                else:
                    known[:] = False
            self._suitable[number] = known
        return known

    def allowed(self, claim: Claim) -> Flags | None:
        """The devices that are of a model the claim allows, shape (N, D) of its kind; None when all are."""
        key = (claim.kind, claim.models)
        if key not in self._allowed:
            self._allowed[key] = allowed_devices(claim, self._nodes.devices[claim.kind])
        return self._allowed[key]

    def largest(self, number: int, shape: Shape, wanted: Amounts) -> Amounts:
        """How many containers of the shape a node could hold if nothing else ran there, shape (N,)."""
        known = self._largest.get(number)
        if known is None:
            devices = allowed = None
            columns: DeviceColumns | None = self._nodes.devices.get(shape.claim.kind) if shape.claim else None
            if shape.claim is not None and columns is not None:
                devices, allowed = np.where(columns.present, WHOLE, 0), self.allowed(shape.claim)
            known = how_many(wanted, self._nodes.capacity, shape.claim, devices, allowed)
            known[~self.suitable(number, shape)] = 0
            self._largest[number] = known
        return known
