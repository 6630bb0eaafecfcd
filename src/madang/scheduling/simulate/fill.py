"""Filling a cluster until nothing fits: how much of its devices a placement policy gets to give away."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from madang.domain.errors import InvalidInput
from madang.scheduling.decisions import Placement
from madang.scheduling.plan import plan
from madang.scheduling.policy import PlacementName, Policy
from madang.scheduling.simulate.fragmentation import Fragmentation
from madang.scheduling.simulate.replay import Progress
from madang.scheduling.simulate.trace import Job, Trace
from madang.scheduling.snapshot import Running, Snapshot
from madang.scheduling.state import ClusterState

_POINTS: Final = 200  # of the curve, about


@dataclass(frozen=True, slots=True)
class Point:
    """How things stood; all are shares of what the cluster has of devices, but for `fragmentation`, of what is free."""

    arrived: float  # asked for so far by all who came, 1.0 being the whole cluster
    allocated: float
    fragmentation: float


@dataclass(slots=True)
class Filling:
    """One filling of a cluster."""

    jobs: int = 0  # that came
    failed: int = 0  # of them, those for whom there was no room
    curve: list[Point] = field(default_factory=list)
    marks: dict[int, Point] = field(default_factory=dict)  # by percent of the cluster's devices that was asked for


def fill(
    trace: Trace, placement: PlacementName, until: float, seed: int = 0, progress: Progress = lambda part: None
) -> Filling:
    """Let jobs come and never leave, until they have asked for `until` times the devices of the cluster.

    The protocol of Weng et al., "Beware of Fragmentation", USENIX ATC 2023, section 6: jobs come one at a time in an
    order that the seed shuffles; when all have come, they come once more in another order. One that fits nowhere fails
    and does not come back. The allocated share is marked when arrivals reach 100% of the devices, and `until`. Times,
    users, and what jobs wait for do not matter. Raises InvalidInput for a trace without devices or without a job that
    asks for any.
    """
    if not trace.devices:
        raise InvalidInput("None of the nodes has a GPU to fill; give the column gpu in the file of nodes.")
    if not any(job.devices for job in trace.jobs):
        raise InvalidInput(
            "None of the jobs asks for a GPU; give the columns num_gpu and gpu_milli in the file of jobs."
        )
    policy = Policy(queue="fifo", placement=placement, backfill=False, aging_seconds=0)
    state = ClusterState()
    for node in trace.nodes:
        state.set_node(node)
    fragmentation = Fragmentation(trace.jobs, Snapshot.of(trace.nodes, ()))
    found = Filling()
    goal, total, asked, given = _percent(until), trace.devices, 0, 0
    marks = sorted({mark for mark in (100, goal) if mark <= goal})
    step, next_point = until * total / _POINTS, 0.0
    for job in _arrivals(trace.jobs, seed):
        parts = _placed(state, job, found.jobs, policy)
        found.jobs += 1
        found.failed += not parts
        asked += job.devices
        given += job.devices if parts else 0
        reached = [mark for mark in marks if mark not in found.marks and asked * 100 >= mark * total]
        if asked >= next_point or reached:
            point = Point(asked / total, given / total, fragmentation.rate(state.snapshot()))
            found.curve.append(point)
            found.marks |= dict.fromkeys(reached, point)
            next_point = asked + step
            progress(min(1.0, asked / (until * total)))
        if goal in found.marks:
            break
    return found


def _percent(share: float) -> int:
    return round(100 * share)


def _placed(state: ClusterState, job: Job, number: int, policy: Policy) -> bool:
    """Have one job placed, if there is room for it."""
    request = replace(job.request, id=str(number), arrived=float(number), start_at=None, deadline=None)
    state.add(request)
    for decision in plan(state.snapshot(), float(number), policy, reasons=False):
        if isinstance(decision, Placement):
            state.start(Running(request.id, decision.parts, request.user, request.project, started=float(number)))
            return True
    state.drop(request.id)
    return False


def _arrivals(jobs: Sequence[Job], seed: int) -> Iterator[Job]:
    shuffled = random.Random(seed)  # noqa: S311  nothing is secret here
    order = list(jobs)
    while True:
        shuffled.shuffle(order)
        yield from order
