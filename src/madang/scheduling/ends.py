"""The known ends of what runs, node by node in order of time, and what they give back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from madang.scheduling.columns import Amounts, DeviceColumns, HoldingColumns, Times

NEVER = float("inf")


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """E known ends by node and time, with what those of a node up to each of them give back in all."""

    node: Amounts
    time: Times
    first: Amounts  # (N + 1,): where the ends of every node begin
    slots: Amounts  # (E, K)
    devices: dict[str, Amounts]  # (E, D) by kind

    @classmethod
    def of(cls, holdings: HoldingColumns, devices: Mapping[str, DeviceColumns], nodes: int) -> Ends:
        """The ends of holdings on so many nodes."""
        known = np.flatnonzero(np.isfinite(holdings.ends))
        rows = known[np.lexsort((holdings.ends[known], holdings.node[known]))]
        node = holdings.node[rows]
        first = np.searchsorted(node, np.arange(nodes + 1))
        back = {}
        for number, (name, columns) in enumerate(devices.items()):
            milli = np.where((holdings.kind[rows] == number)[:, None], holdings.milli[rows], 0)
            back[name] = sums_from(milli[:, : columns.index.shape[1]], first[node])
        return cls(node, holdings.ends[rows], first, sums_from(holdings.slots[rows], first[node]), back)


_Number = TypeVar("_Number", bound=np.generic)


def sums_from(amounts: npt.NDArray[_Number], begins: Amounts) -> npt.NDArray[_Number]:
    """For every row the sum of those from the row `begins` names up to it, shape (E, ...)."""
    total = np.concatenate(
        [np.zeros((1, *amounts.shape[1:]), dtype=amounts.dtype), np.cumsum(amounts, axis=0, dtype=amounts.dtype)]
    )
    sums: npt.NDArray[_Number] = total[1:] - total[begins]
    return sums
