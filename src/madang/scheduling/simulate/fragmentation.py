"""How fragmented the free devices of a cluster are, measured against the jobs that come to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from madang.domain.devices import WHOLE, Claim
from madang.scheduling.columns import Amounts, Flags, Interned, Times
from madang.scheduling.simulate.trace import Job
from madang.scheduling.snapshot import Snapshot, wanted_of


class Fragmentation:
    """The fragmentation rate of Weng et al., "Beware of Fragmentation", USENIX ATC 2023, section 3.

    For a job m of the workload, free device room of a node is a fragment when m cannot use it: all of it when m does
    not fit on the node or wants no device, else what is free of single devices that are too full for m (or of a wrong
    model). Averaged over the workload, each kind of job as often as it occurs, and summed over nodes, that is what is
    fragmented; the rate is its share of all that is free. Devices of the kind the cluster has most of count.

    Nodes are looked at anew only when they have changed.
    """

    def __init__(self, jobs: Iterable[Job], empty: Snapshot) -> None:
        interned = Interned()
        often: Counter[int] = Counter()
        for job in jobs:
            often[interned.forms[interned.form(job.request)].shape] += job.request.size
        self._claims = [shape.claim for shape in interned.shapes]
        self._wanted = wanted_of(interned.shapes, empty.slots)
        self._shares: Times = np.array([often[at] for at in range(len(interned.shapes))]) / max(1, often.total())
        devices = {kind: int(columns.present.sum()) for kind, columns in empty.devices.items()}
        self._kind = max(sorted(devices), key=lambda kind: devices[kind]) if devices else ""
        self._allowed = [self._models(claim, empty) for claim in self._claims]
        self._free: Amounts | None = None
        self._devices: Amounts | None = None
        self._fragments: Times = np.zeros(len(empty.nodes))

    def rate(self, snapshot: Snapshot) -> float:
        """The part of the free device room that is fragmented, 0 to 1; 0 when nothing is free.

        The snapshot has to be of the same nodes as the one given at first.
        """
        if not self._kind:
            return 0.0
        free = snapshot.capacity - snapshot.used
        devices = np.maximum(WHOLE - snapshot.devices[self._kind].used, 0)
        if self._free is None or self._devices is None:
            changed: Amounts = np.arange(len(snapshot.nodes))
        else:
            changed = np.flatnonzero((free != self._free).any(axis=0) | (devices != self._devices).any(axis=1))
        self._free, self._devices = free, devices
        if len(changed):
            self._fragments[changed] = self._of(changed, free[:, changed], devices[changed])
        total = int(devices.sum())
        return min(1.0, float(self._fragments.sum()) / total) if total else 0.0  # floats add up to a little more

    def _models(self, claim: Claim | None, empty: Snapshot) -> Flags | None:
        return empty.memory.allowed(claim) if claim is not None and claim.kind == self._kind else None

    def _of(self, nodes: Amounts, free: Amounts, devices: Amounts) -> Times:
        """The expected fragments on some nodes, in thousandths; shapes (C,), (K, C) and (C, D)."""
        total: Amounts = devices.sum(axis=1)
        found: Times = np.zeros(len(nodes))
        for at, claim in enumerate(self._claims):
            if claim is None or claim.kind != self._kind:
                found += self._shares[at] * total
                continue
            allowed = self._allowed[at]
            usable = devices if allowed is None else np.where(allowed[nodes], devices, 0)
            enough = usable >= claim.milli
            fits = (free >= self._wanted[at][:, None]).all(axis=0) & (enough.sum(axis=1) >= claim.count)
            found += self._shares[at] * (total - np.where(fits, (usable * enough).sum(axis=1), 0))
        return found
