"""What a scheduling pass looks at: nodes and waiting requests as columns of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Amounts = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Node:
    """A node that takes sessions. `offers` are features such as `network outbound` or `environment python`."""

    name: str
    capacity: Mapping[str, int]
    used: Mapping[str, int]
    offers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Request:
    """A waiting session: what it needs of one node. `arrived` is in seconds of any one clock."""

    id: str
    slots: Mapping[str, int]
    arrived: float
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Columns over N nodes, P requests, K slots and F features; nodes are sorted by name, so order never matters.

    `capacity` and `used` have shape (K, N), `wanted` (P, K), all in base units; `offers` has shape (F, N).
    """

    slots: tuple[str, ...]
    features: tuple[str, ...]
    nodes: tuple[str, ...]
    capacity: Amounts
    used: Amounts
    offers: Flags
    requests: tuple[str, ...]
    wanted: Amounts
    arrived: npt.NDArray[np.float64]
    needs: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, nodes: Iterable[Node], requests: Iterable[Request]) -> Snapshot:
        """Put rows into columns."""
        by_name = sorted(nodes, key=lambda node: node.name)
        waiting = list(requests)
        slots = sorted(
            {slot for node in by_name for slot in (*node.capacity, *node.used)}
            | {slot for request in waiting for slot in request.slots}
        )
        features = sorted({one for node in by_name for one in node.offers})
        capacity = np.array([[node.capacity.get(slot, 0) for node in by_name] for slot in slots], dtype=np.int64)
        used = np.array([[node.used.get(slot, 0) for node in by_name] for slot in slots], dtype=np.int64)
        offers = np.array([[one in node.offers for node in by_name] for one in features], dtype=np.bool_)
        wanted = np.array([[request.slots.get(slot, 0) for slot in slots] for request in waiting], dtype=np.int64)
        return cls(
            tuple(slots),
            tuple(features),
            tuple(node.name for node in by_name),
            capacity.reshape(len(slots), len(by_name)),
            used.reshape(len(slots), len(by_name)),
            offers.reshape(len(features), len(by_name)),
            tuple(request.id for request in waiting),
            wanted.reshape(len(waiting), len(slots)),
            np.array([request.arrived for request in waiting], dtype=np.float64),
            tuple(request.needs for request in waiting),
        )
