"""The openb trace changed in ways that no policy was made for: what helps there helps elsewhere."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from madang.domain.devices import WHOLE, Claim
from madang.scheduling.simulate.trace import Job, Trace

_SEED: Final = 7


def _half_the_nodes(trace: Trace) -> Trace:
    chosen = random.Random(_SEED).sample(trace.nodes, len(trace.nodes) // 2)
    return replace(trace, nodes=tuple(chosen))


def _eight_gpus_each(trace: Trace) -> Trace:
    nodes = tuple(node for node in trace.nodes if sum(map(len, node.devices.values())) == 8)
    return replace(trace, nodes=nodes)


def _less_cpu(trace: Trace) -> Trace:
    """A sixth less."""
    nodes = tuple(replace(one, capacity={**one.capacity, "cpu": one.capacity["cpu"] * 5 // 6}) for one in trace.nodes)
    return replace(trace, nodes=nodes)


def _other_parts(trace: Trace) -> Trace:
    """Every size of a part of a GPU becomes another one."""
    sizes = sorted({job.request.claim.milli for job in trace.jobs if job.request.claim and not job.request.claim.whole})
    other = dict(zip(sizes, random.Random(_SEED).choices(range(50, WHOLE, 50), k=len(sizes)), strict=True))
    return _claiming(trace, lambda claim: claim if claim.whole else replace(claim, milli=other[claim.milli]))


def _quarters(trace: Trace) -> Trace:
    """Parts of a GPU are quarters of it."""
    return _claiming(trace, lambda claim: claim if claim.whole else replace(claim, milli=-(-claim.milli // 250) * 250))


def _several(trace: Trace) -> Trace:
    """A few of those who asked for one GPU ask for 2, 4 or 8, with CPU and memory for each."""
    chance = random.Random(_SEED)

    def more(job: Job) -> Job:
        claim = job.request.claim
        if claim is None or claim.total != WHOLE or chance.random() > 0.06:
            return job
        count = chance.choice((2, 4, 8))
        slots = {name: amount * count * 2 // 3 for name, amount in job.request.slots.items()}
        return replace(job, request=replace(job.request, slots=slots, claim=replace(claim, count=count)))

    return replace(trace, jobs=tuple(map(more, trace.jobs)))


def _twice_without_gpus(trace: Trace) -> Trace:
    bare = [job for job in trace.jobs if job.request.claim is None]
    twins = [replace(job, request=replace(job.request, id=f"{job.request.id}-twin")) for job in bare]
    return replace(trace, jobs=(*trace.jobs, *twins))


def _claiming(trace: Trace, change: Callable[[Claim], Claim]) -> Trace:
    jobs = tuple(
        replace(job, request=replace(job.request, claim=change(job.request.claim))) if job.request.claim else job
        for job in trace.jobs
    )
    return replace(trace, jobs=jobs)


CHANGES: Final[Mapping[str, Callable[[Trace], Trace]]] = {
    "half the nodes": _half_the_nodes,
    "8 GPUs each": _eight_gpus_each,
    "less CPU": _less_cpu,
    "other parts of GPUs": _other_parts,
    "quarters of GPUs": _quarters,
    "more of several GPUs": _several,
    "twice the jobs without GPU": _twice_without_gpus,
}
