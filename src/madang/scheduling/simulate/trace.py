"""Traces: the nodes of a cluster and the jobs that came to it, as CSV files with the columns of the openb trace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from madang.domain.dependencies import find_cycle
from madang.domain.devices import WHOLE, Claim, claim_of, device_slot, shares_slot
from madang.domain.errors import InvalidInput
from madang.domain.session import Layout, SessionKind
from madang.scheduling.simulate.table import Row, lines_of, rows
from madang.scheduling.snapshot import Device, Node, Request

NODE_COLUMNS: Final = ("sn", "cpu_milli", "memory_mib", "gpu", "model", "device")
JOB_COLUMNS: Final = (
    *("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec", "qos", "pod_phase"),
    *("creation_time", "deletion_time", "scheduled_time", "user", "project", "priority", "max_seconds", "after"),
    *("after_ok", "size", "layout", "kind", "preemptible", "deadline", "start_at", "device"),
)
"""All columns that mean something; those of a trace that Madang exports, in this order."""

_NEEDED: Final = ("name", "cpu_milli", "memory_mib")
_LATENCY_SENSITIVE: Final = "LS"  # qos of what somebody waits for, in the openb trace
_NO_SUCCESS: Final = frozenset({"failed", "stopped", "cancelled", "lost"})  # phases that `after_ok` does not accept


@dataclass(frozen=True, slots=True)
class Job:
    """A session of a trace. The id of its request is the job's name, times are in seconds of the clock of the trace."""

    request: Request
    seconds: float | None  # it ran so long; None: the trace does not say
    succeeded: bool = True
    after: tuple[str, ...] = ()  # names of jobs that have to end first
    after_ok: tuple[str, ...] = ()  # and of those that have to succeed
    preemptible: bool = True

    @property
    def devices(self) -> int:
        """Thousandths of devices it asks for, all containers together."""
        claim = self.request.claim
        return claim.total * self.request.size if claim else 0


@dataclass(frozen=True, slots=True)
class Trace:
    """Nodes, and jobs in the order of the file."""

    nodes: tuple[Node, ...]
    jobs: tuple[Job, ...]

    @property
    def devices(self) -> int:
        """Thousandths of devices that all nodes have together."""
        return WHOLE * sum(len(some) for node in self.nodes for some in node.devices.values())

    def sharing(self, milli: int) -> Trace:
        """What if everybody who asked for one whole device a container asked for so many thousandths of it?"""
        return replace(self, jobs=tuple(_sharing(job, milli) for job in self.jobs))

    def denser(self, times: float) -> Trace:
        """What if jobs came so many times as densely, and ran as long as ever?"""
        first = min((job.request.arrived for job in self.jobs), default=0.0)
        return replace(self, jobs=tuple(_denser(job, first, times) for job in self.jobs))

    def estimated(self) -> Trace:
        """What if the run time of everybody who gave no maximum were known when the job arrives?"""
        return replace(self, jobs=tuple(_estimated(job) for job in self.jobs))


def read_trace(nodes: Path, jobs: Path) -> Trace:
    """Read both files. Raises InvalidInput that names file, line and column, and OSError when one cannot be read."""
    return Trace(parse_nodes(lines_of(nodes), nodes.name), parse_jobs(lines_of(jobs), jobs.name))


def parse_nodes(lines: Iterable[str], file: str) -> tuple[Node, ...]:
    """Nodes by their line. Needs sn, cpu_milli (thousandths of a core) and memory_mib (MiB).

    `gpu` counts devices, `model` is theirs (or one for each, `A100|A100|T4`), `device` their kind, `cuda` by default.
    """
    found: dict[str, Node] = {}
    for row in rows(lines, file, ("sn", *_NEEDED[1:])):
        name = row.name("sn")
        if name in found:
            raise row.wrong("sn", f"{name} has been on a line before; every node stands on one.")
        found[name] = Node(name, _slots(row), devices=_devices(row))
    if not found:
        raise InvalidInput(f"{file}: holds no node; there has to be a line for each behind the first.")
    return tuple(found.values())


def parse_jobs(lines: Iterable[str], file: str) -> tuple[Job, ...]:
    """Jobs by their line. Needs name, cpu_milli and memory_mib; amounts are those of one container.

    `num_gpu` counts whole devices, or is 1 with `gpu_milli` thousandths of one; `gpu_spec` are models (`A100|H100`).
    A job ran from `scheduled_time` (else `creation_time`) to `deletion_time`. `after` and `after_ok` are names with |
    between them. Raises InvalidInput, also for jobs that wait for each other or for one that is not there.
    """
    found: dict[str, Job] = {}
    places: dict[str, Row] = {}
    for row in rows(lines, file, _NEEDED):
        name = row.name("name")
        if name in found:
            raise row.wrong("name", f"{name} has been on a line before; every job stands on one, under its own name.")
        found[name], places[name] = _job(row, name), row
    if not found:
        raise InvalidInput(f"{file}: holds no job; there has to be a line for each behind the first.")
    _check_waits(found, places)
    return tuple(found.values())


def _job(row: Row, name: str) -> Job:
    kind = row.choice("kind", _usual_kind(row))
    created = row.number("creation_time") or 0.0
    max_seconds = row.number("max_seconds")
    if max_seconds is not None and max_seconds <= 0:
        raise row.wrong(
            "max_seconds", f"'{row.text('max_seconds')}' is no length of time; leave it empty for no limit."
        )
    request = Request(
        name,
        _slots(row),
        created,
        claim=_claim(row),
        size=row.whole("size", 1, least=1, most=1 << 20),
        layout=row.choice("layout", Layout.ANY),
        user=row.text("user"),
        project=row.text("project"),
        kind=kind,
        priority=row.whole("priority", 0),
        start_at=row.number("start_at"),
        max_seconds=max_seconds,
        deadline=row.number("deadline"),
    )
    return Job(
        request,
        _ran(row, created),
        row.text("pod_phase").lower() not in _NO_SUCCESS,
        row.names("after"),
        row.names("after_ok"),
        row.flag("preemptible", kind is SessionKind.BATCH),
    )


def _usual_kind(row: Row) -> SessionKind:
    """Jobs whose latency somebody feels count as interactive."""
    return SessionKind.INTERACTIVE if row.text("qos") == _LATENCY_SENSITIVE else SessionKind.BATCH


def _ran(row: Row, created: float) -> float | None:
    ended = row.number("deletion_time")
    if ended is None:
        return None
    started = row.number("scheduled_time")
    if ended < (began := created if started is None else started):
        raise row.wrong("deletion_time", f"{ended:g} is before the job began at {began:g}.")
    return ended - began


def _slots(row: Row) -> dict[str, int]:
    return {"cpu": row.whole("cpu_milli", 0, least=0), "mem": row.whole("memory_mib", 0, least=0) << 20}


def _claim(row: Row) -> Claim | None:
    count = row.whole("num_gpu", 0, least=0)
    if not count:
        return None
    kind, models = row.text("device", "cuda"), row.names("gpu_spec")
    milli = row.whole("gpu_milli", WHOLE, least=0, most=WHOLE) or WHOLE
    if count == 1:
        return claim_of({shares_slot(kind): milli}, models)
    if milli != WHOLE:
        raise row.wrong("gpu_milli", f"{milli} with num_gpu {count}: part of a GPU can be had of one only; write 1000.")
    return claim_of({device_slot(kind): count}, models)


def _devices(row: Row) -> dict[str, tuple[Device, ...]]:
    count = row.whole("gpu", 0, least=0, most=1 << 12)
    if not count:
        return {}
    models = row.names("model") or ("",)
    if len(models) == 1:
        models *= count
    if len(models) != count:
        raise row.wrong("model", f"names {len(models)} models for {count} GPUs; write one, or one for each.")
    return {row.text("device", "cuda"): tuple(Device(index, model) for index, model in enumerate(models))}


def _check_waits(jobs: dict[str, Job], lines: dict[str, Row]) -> None:
    waits_for = {name: (*job.after, *job.after_ok) for name, job in jobs.items() if job.after or job.after_ok}
    for name, others in waits_for.items():
        for other in others:
            if other not in jobs:
                column = "after" if other in jobs[name].after else "after_ok"
                raise lines[name].wrong(column, f"there is no job {other}.")
    if circle := find_cycle(waits_for):
        column = "after" if jobs[circle[0]].after else "after_ok"
        told = " -> ".join([*circle[:8], *(["..."] if len(circle) > 8 else []), circle[0]])
        raise lines[circle[0]].wrong(column, f"these jobs wait for each other: {told}; take one of the waits out.")


def _sharing(job: Job, milli: int) -> Job:
    claim = job.request.claim
    if claim is None or claim.count != 1 or not claim.whole:
        return job
    return replace(job, request=replace(job.request, claim=replace(claim, milli=milli)))


def _denser(job: Job, first: float, times: float) -> Job:
    def moved(moment: float | None) -> float | None:
        return None if moment is None else first + (moment - first) / times

    request = job.request
    arrived = first + (request.arrived - first) / times
    start_at, deadline = moved(request.start_at), moved(request.deadline)
    return replace(job, request=replace(request, arrived=arrived, start_at=start_at, deadline=deadline))


def _estimated(job: Job) -> Job:
    if job.seconds is None or job.request.max_seconds is not None:
        return job
    return replace(job, request=replace(job.request, max_seconds=max(job.seconds, 1e-3)))
