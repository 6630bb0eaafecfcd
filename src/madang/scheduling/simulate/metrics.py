"""What a replay or a filling comes to, in a few numbers that can be compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Final, TypeVar

import numpy as np

from madang.scheduling.columns import Times
from madang.scheduling.simulate.fill import Filling
from madang.scheduling.simulate.outcome import Course, Fate, Outcome, Record

Number = float | int | None

_SHORT: Final = 10.0
"""Jobs that ran less, in seconds, count as if they had run so long when their slowdown is reckoned (Feitelson and
Rudolph, "Metrics and Benchmarking for Parallel Job Scheduling", JSSPP 1998: bounded slowdown)."""


@dataclass(frozen=True, slots=True)
class ReplayMetrics:
    """Times are in seconds, shares from 0 to 1; None where there is nothing to measure.

    `wait` is from when a job could have started (it was there, its time had come, what it waited for had ended) to its
    first start; `jct` from its arrival to its end. `slowdown` is the time from when it could have started to its end
    over the time it ran, both at least 10 s. `makespan` is from the first arrival to the last end.

    `allocation` is the mean share of all devices (in thousandths) that was given away while jobs came, so from the
    first arrival to the last; `utilisation` the same over the whole makespan, and so for CPU and memory. A trace does
    not tell what jobs did with what they were given, so giving away is all that is measured.

    `fairness` is Jain's index over users of the share of their jobs' time in the system (from when a job could have
    started to its end) in which these ran: 1 when everybody's jobs ran for the same part of it, 1 / users when one
    user's ran and all others' waited for ever. None with fewer than two users.
    """

    jobs: Number
    done: Number
    cut: Number  # stopped when their maximum run time had passed
    refused: Number  # no node could ever have held them
    expired: Number  # their deadline, or what had to succeed before, left them no chance
    left: Number  # waited to the end in vain
    preemptions: Number
    lost_device_hours: Number  # of work thrown away by preemption
    wait_mean: Number
    wait_p50: Number
    wait_p95: Number
    wait_max: Number
    jct_mean: Number
    jct_p50: Number
    jct_p95: Number
    jct_max: Number
    slowdown_mean: Number
    slowdown_p95: Number
    makespan: Number
    allocation: Number
    allocation_peak: Number
    utilisation: Number
    utilisation_cpu: Number
    utilisation_memory: Number
    fragmentation: Number  # mean share of the free devices that jobs of the trace cannot use, while jobs came
    queue_mean: Number  # jobs that wait, for whatever, over the makespan
    queue_max: Number
    fairness: Number


@dataclass(frozen=True, slots=True)
class FillMetrics:
    """Shares of the devices of the cluster (in thousandths); see Filling. `_at_until`: where the filling ended."""

    jobs: Number
    failed: Number  # there was no room for them
    until: Number  # times the devices of the cluster
    allocation_at_100: Number  # None when the filling ended before
    allocation_at_until: Number
    fragmentation_at_100: Number
    fragmentation_at_until: Number


@dataclass(frozen=True, slots=True)
class Moment:
    """How full the cluster was at a time, in seconds of the clock of the trace; shares from 0 to 1."""

    time: float
    allocation: Number
    cpu: Number
    memory: Number
    waiting: int


def moments(outcome: Outcome, most: int = 200) -> list[Moment]:
    """The course of a replay, at so many times at most, evenly spaced over its events."""
    course = outcome.course
    step = max(1, -(-len(course.times) // most))
    return [
        Moment(
            course.times[at],
            _share(course.devices[at], outcome.devices),
            _share(course.cpu[at], outcome.cpu),
            _share(course.memory[at], outcome.memory),
            course.waiting[at],
        )
        for at in range(0, len(course.times), step)
    ]


def measure(outcome: Outcome) -> ReplayMetrics:
    """The numbers of one replay."""
    records, course = outcome.records, outcome.course
    ran = [record for record in records if record.ran]
    fates = [record.fate for record in records]
    first = min(record.job.request.arrived for record in records)
    last = max(record.job.request.arrived for record in records)
    end = max((record.ended for record in ran), default=last)
    waits = [record.first_start - record.ready for record in ran]
    whole = [record.ended - record.job.request.arrived for record in ran]
    slowdowns = [_slowdown(record) for record in ran]
    coming = until(course, last)
    return ReplayMetrics(
        jobs=len(records),
        done=fates.count(Fate.DONE),
        cut=fates.count(Fate.CUT),
        refused=fates.count(Fate.REFUSED),
        expired=fates.count(Fate.EXPIRED),
        left=fates.count(Fate.LEFT),
        preemptions=outcome.preemptions,
        lost_device_hours=sum(record.lost for record in records) / 3600,
        wait_mean=_mean(waits),
        wait_p50=_percentile(waits, 50),
        wait_p95=_percentile(waits, 95),
        wait_max=max(waits, default=None),
        jct_mean=_mean(whole),
        jct_p50=_percentile(whole, 50),
        jct_p95=_percentile(whole, 95),
        jct_max=max(whole, default=None),
        slowdown_mean=_mean(slowdowns),
        slowdown_p95=_percentile(slowdowns, 95),
        makespan=end - first,
        allocation=_share(coming.mean(coming.devices), outcome.devices),
        allocation_peak=_share(max(course.devices), outcome.devices),
        utilisation=_share(course.mean(course.devices), outcome.devices),
        utilisation_cpu=_share(course.mean(course.cpu), outcome.cpu),
        utilisation_memory=_share(course.mean(course.memory), outcome.memory),
        fragmentation=coming.mean(coming.fragmentation, coming.sampled) if outcome.devices else None,
        queue_mean=course.mean(course.waiting),
        queue_max=max(course.waiting),
        fairness=fairness(ran),
    )


def measure_fill(filling: Filling) -> FillMetrics:
    """The numbers of one filling."""
    goal = max(filling.marks)
    full, end = filling.marks.get(100), filling.marks[goal]
    return FillMetrics(
        jobs=filling.jobs,
        failed=filling.failed,
        until=goal / 100,
        allocation_at_100=full.allocated if full else None,
        allocation_at_until=end.allocated,
        fragmentation_at_100=full.fragmentation if full else None,
        fragmentation_at_until=end.fragmentation,
    )


def jain(values: Iterable[float]) -> float:
    """Jain's index of fairness, 1/n to 1 (Jain, Chiu and Hawe, DEC-TR-301, 1984): the square of the sum over n times
    the sum of the squares. 1 when all are alike, also when all are 0.
    """
    some = list(values)
    squares = sum(value * value for value in some)
    return sum(some) ** 2 / (len(some) * squares) if squares else 1.0


def fairness(ran: Sequence[Record]) -> float | None:
    """See ReplayMetrics."""
    running: dict[str, float] = defaultdict(float)
    there: dict[str, float] = defaultdict(float)
    for record in ran:
        user = record.job.request.user
        running[user] += _run_time(record)
        there[user] += record.ended - record.ready
    if len(there) < 2:
        return None
    return jain(running[user] / there[user] if there[user] else 1.0 for user in there)


def until(course: Course, last: float) -> Course:
    """The course up to a time, in seconds."""
    count = int(np.searchsorted(np.array(course.times), last, side="right"))
    samples = int(np.searchsorted(np.array(course.sampled), last, side="right"))
    return Course(
        course.times[:count],
        course.devices[:count],
        course.cpu[:count],
        course.memory[:count],
        course.waiting[:count],
        course.sampled[:samples],
        course.fragmentation[:samples],
    )


_Metrics = TypeVar("_Metrics", ReplayMetrics, FillMetrics)


def average(several: Sequence[_Metrics]) -> _Metrics:
    """The mean of every number over several seeds; None where one of them is None."""
    kind = type(several[0])
    return kind(**{field.name: _middle([getattr(one, field.name) for one in several]) for field in fields(kind)})


def _middle(values: Sequence[Number]) -> Number:
    if all(value == values[0] for value in values):
        return values[0]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _run_time(record: Record) -> float:
    seconds, limit = record.job.seconds or 0.0, record.job.request.max_seconds
    return seconds if limit is None else min(seconds, limit)


def _slowdown(record: Record) -> float:
    return max(record.ended - record.ready, _SHORT) / max(_run_time(record), _SHORT)


def _share(amount: float, whole: int) -> float | None:
    return amount / whole if whole else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _percentile(values: Sequence[float], percent: float) -> float | None:
    """By the nearest rank, so that it is a value that occurred."""
    some: Times = np.array(values)
    return float(np.percentile(some, percent, method="inverted_cdf")) if len(some) else None
