"""The replay of a trace: jobs arrive, run as long as they did and leave, and `plan` decides all that lies between."""

from __future__ import annotations

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from madang.domain.errors import InvalidInput
from madang.domain.session import SessionState
from madang.domain.why import Why, WhyCode
from madang.scheduling.decisions import Expire, Placement, Preempt
from madang.scheduling.gang import enough
from madang.scheduling.plan import plan
from madang.scheduling.policy import Policy
from madang.scheduling.room import Room
from madang.scheduling.simulate.fragmentation import Fragmentation
from madang.scheduling.simulate.history import History
from madang.scheduling.simulate.outcome import Course, Fate, Outcome, Record
from madang.scheduling.simulate.trace import Job, Trace
from madang.scheduling.snapshot import Running, Snapshot
from madang.scheduling.state import ClusterState

Progress = Callable[[float], None]
"""Takes the part that is done, 0 to 1."""

_SAMPLES: Final = 200  # how often fragmentation is looked at, about
_SHOWS: Final = 100  # how often progress is told


class _Kind(IntEnum):
    """What happens, in the order in which it does at one moment: room is given back before anybody asks for it."""

    END = 0
    ARRIVE = 1
    TIME = 2  # something may start now that might not before


@dataclass(frozen=True, slots=True, order=True)
class _Event:
    time: float
    kind: _Kind
    number: int = -1  # of the job
    run: int = 0  # which run of it ends


def replay(trace: Trace, policy: Policy = Policy(), seed: int = 0, progress: Progress = lambda part: None) -> Outcome:
    """Let the jobs of a trace come to its nodes under a policy. The same arguments give the same outcome.

    One pass of `plan` at each moment at which something happens: an arrival, an end, a time that somebody or the policy
    waits for. The seed decides who comes first of those who arrive at the same moment. A job that gives way is queued
    again under its old arrival and starts from its beginning. Raises InvalidInput when the trace does not say how long
    a job ran.
    """
    return _Replay(trace, policy, seed, progress).run()


class _Replay:
    def __init__(self, trace: Trace, policy: Policy, seed: int, progress: Progress) -> None:
        self._policy = policy
        self._progress = progress
        self._jobs = _numbered(trace.jobs, seed)
        self._number = {name: at for at, (name, _) in enumerate(self._jobs)}
        self._records = [Record(job, job.request.arrived) for _, job in self._jobs]
        empty = Snapshot.of(trace.nodes, [job.request for _, job in self._jobs])
        self._possible = _possible(empty)
        self._fragmentation = Fragmentation(trace.jobs, empty)
        self._state = ClusterState()
        for node in trace.nodes:
            self._state.set_node(node)
        self._history = History(policy.half_life_seconds)
        self._waiting: set[int] = set()
        self._running: dict[int, Running] = {}
        self._runs: Counter[int] = Counter()
        self._holding: Counter[str] = Counter()
        self._followers: dict[int, list[int]] = defaultdict(list)  # who waits for a job
        for number, (_, job) in enumerate(self._jobs):
            for name in dict.fromkeys((*job.after, *job.after_ok)):
                self._followers[self._number[name]].append(number)
        self._over: dict[int, bool] = {}  # the jobs that are over, and whether they succeeded
        self._course = Course()
        self._outcome = Outcome(
            self._records,
            self._course,
            trace.devices,
            sum(node.capacity.get("cpu", 0) for node in trace.nodes),
            sum(node.capacity.get("mem", 0) for node in trace.nodes),
        )
        self._events = self._first_events()

    def run(self) -> Outcome:
        """Let everything happen."""
        total, seen = max(1, 2 * len(self._jobs)), 0
        every, show = max(1, total // _SAMPLES), max(1, total // _SHOWS)
        while self._events:
            now = self._events[0].time
            before = seen
            while self._events and self._events[0].time == now:
                self._happen(heapq.heappop(self._events))
                seen += 1
            if self._waiting:
                self._pass(now)
            self._write_down(now, sample=before // every != seen // every)
            if before // show != seen // show:
                self._progress(min(1.0, seen / total))
        return self._outcome

    # What happens

    def _first_events(self) -> list[_Event]:
        events = [_Event(job.request.arrived, _Kind.ARRIVE, at) for at, (_, job) in enumerate(self._jobs)]
        first = min((event.time for event in events), default=0.0)
        policy = self._policy
        times = {job.request.start_at for _, job in self._jobs if job.request.start_at is not None}
        times |= {job.request.deadline for _, job in self._jobs if job.request.deadline is not None}
        times |= {edge for window in policy.windows for edge in (window.starts, window.ends)}
        for one in policy.reservations:
            times |= {one.starts - policy.reservation_lead_seconds, one.starts, one.ends}
        events += [_Event(time, _Kind.TIME) for time in times if time > first]
        heapq.heapify(events)
        return events

    def _happen(self, event: _Event) -> None:
        match event.kind:
            case _Kind.ARRIVE:
                self._arrive(event.number)
            case _Kind.END if event.run == self._runs[event.number] and event.number in self._running:
                self._end(event.number, event.time)
            case _:
                pass  # a pass is due, or the end of a run that gave way before

    def _arrive(self, number: int) -> None:
        record, request = self._records[number], self._jobs[number][1].request
        if not self._possible[number]:
            self._never(number, Fate.REFUSED, request.arrived)
            return
        self._waiting.add(number)
        record.ready = max(record.ready, request.start_at or record.ready)
        waits = self._blocked_by(number)
        self._state.add(request if waits is None else replace(request, blocked_by=waits))

    def _end(self, number: int, now: float) -> None:
        running = self._let_go(number, now)
        record, job = self._records[number], self._jobs[number][1]
        if running.making_room_for and now < running.started + _seconds(job):
            record.requeues += 1
            record.lost += (now - running.started) * job.devices / 1000
            self._waiting.add(number)
            self._state.add(job.request)
            return
        cut = job.seconds is not None and _seconds(job) < job.seconds
        record.fate, record.ended = Fate.CUT if cut else Fate.DONE, now
        self._settle(number, job.succeeded and not cut, now)

    def _never(self, number: int, fate: Fate, now: float) -> None:
        """A job ends without having run."""
        record = self._records[number]
        record.fate, record.ended = fate, now
        self._settle(number, False, now)

    def _settle(self, number: int, succeeded: bool, now: float) -> None:
        """A job is over: those who wait for it wait for one less."""
        self._over[number] = succeeded
        for follower in self._followers[number]:
            record, request = self._records[follower], self._jobs[follower][1].request
            record.ready = max(record.ready, now)
            if follower in self._waiting:
                self._state.add(replace(request, blocked_by=self._blocked_by(follower)))

    def _blocked_by(self, number: int) -> Why | None:
        """What else has to happen before a job may start; what can never happen before all others."""
        _, job = self._jobs[number]
        waits = None
        for name in (*job.after_ok, *job.after):
            ok, other = name in job.after_ok, self._number[name]
            if other not in self._over:
                waits = waits or Why(WhyCode.AFTER, {"name": name} | ({"ok": 1} if ok else {}))
            elif ok and not self._over[other]:
                return Why(WhyCode.DEPENDENCY_FAILED, {"name": name, "state": SessionState.FAILED.value})
        return waits

    # What is decided

    def _pass(self, now: float) -> None:
        policy = self._policy
        if policy.queue == "fair-share":
            policy = replace(policy, history=self._history.at(now))
        expired = False
        for decision in plan(self._state.snapshot(), now, policy, reasons=False):
            match decision:
                case Placement():
                    self._start(decision, now)
                case Preempt():
                    self._give_way(decision, now)
                case Expire():
                    number = int(decision.session_id)
                    self._waiting.discard(number)
                    self._state.drop(decision.session_id)
                    self._never(number, Fate.EXPIRED, now)
                    expired = True
                case _:
                    pass
        if expired and self._waiting:
            self._pass(now)  # others may have waited for those

    def _start(self, placement: Placement, now: float) -> None:
        number = int(placement.session_id)
        job = self._jobs[number][1]
        request = job.request
        ends = None if request.max_seconds is None else now + request.max_seconds
        running = Running(
            request.id,
            placement.parts,
            request.user,
            request.project,
            request.kind,
            request.priority,
            now,
            ends,
            job.preemptible,
            reservation=request.reservation,
        )
        self._waiting.discard(number)
        self._state.start(running)
        self._running[number] = running
        self._count(running, 1)
        self._runs[number] += 1
        if self._runs[number] == 1:
            self._records[number].first_start = now
        heapq.heappush(self._events, _Event(now + _seconds(job), _Kind.END, number, self._runs[number]))

    def _give_way(self, decision: Preempt, now: float) -> None:
        number = int(decision.session_id)
        before, soon = self._running[number], now + decision.grace_seconds
        running = replace(
            before,
            ends=soon if before.ends is None else min(soon, before.ends),
            making_room_for=decision.for_session,
        )
        self._state.start(running)
        self._running[number] = running
        self._outcome.preemptions += 1
        heapq.heappush(self._events, _Event(soon, _Kind.END, number, self._runs[number]))

    def _let_go(self, number: int, now: float) -> Running:
        running = self._running.pop(number)
        self._state.end(running.id)
        self._count(running, -1)
        if self._policy.queue == "fair-share":
            self._history.fold(running, now)
        return running

    # What is written down

    def _count(self, running: Running, sign: int) -> None:
        for part in running.parts:
            for slot, amount in part.slots.items():
                self._holding[slot] += sign * amount
            for share in part.shares:
                self._holding[""] += sign * share.milli  # devices of whatever kind

    def _write_down(self, now: float, *, sample: bool) -> None:
        course = self._course
        course.times.append(now)
        course.devices.append(self._holding[""])
        course.cpu.append(self._holding["cpu"])
        course.memory.append(self._holding["mem"])
        course.waiting.append(len(self._waiting))
        if sample or not self._events:
            course.sampled.append(now)
            course.fragmentation.append(self._fragmentation.rate(self._state.snapshot()))


def _seconds(job: Job) -> float:
    """How long a job runs when nothing gets in its way."""
    if job.seconds is None:
        name = job.request.id
        raise InvalidInput(f"{name}: the trace does not say how long it ran; give it a deletion_time, or use --fill.")
    limit = job.request.max_seconds
    return job.seconds if limit is None else min(job.seconds, limit)


def _numbered(jobs: Sequence[Job], seed: int) -> list[tuple[str, Job]]:
    """Names and jobs by arrival; in the scheduler a job's place in this order is its id, which breaks ties."""
    order = list(jobs)
    random.Random(seed).shuffle(order)  # noqa: S311  nothing is secret here
    order.sort(key=lambda job: job.request.arrived)
    width = len(str(len(order)))
    for job in order:
        _seconds(job)
    return [
        (job.request.id, replace(job, request=replace(job.request, id=str(at).zfill(width))))
        for at, job in enumerate(order)
    ]


def _possible(empty: Snapshot) -> list[bool]:
    """Whether the nodes could hold the requests of a snapshot if nothing ran, by their number."""
    room = Room(empty)
    known = [enough(form, room.largest(form.shape)) for form in empty.forms]
    found = {request.id: known[form] for request, form in zip(empty.requests.rows, empty.requests.form, strict=True)}
    return [found[name] for name in sorted(found)]
