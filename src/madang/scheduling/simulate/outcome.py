"""What a replay leaves behind: what became of every job, and how full the cluster was from moment to moment."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from madang.scheduling.columns import Times
from madang.scheduling.simulate.trace import Job


class Fate(StrEnum):
    """What became of a job."""

    DONE = "done"  # ran as long as in the trace
    CUT = "cut"  # was stopped because it passed its maximum run time
    REFUSED = "refused"  # no node could ever have held it
    EXPIRED = "expired"  # its deadline, or the failure of what had to succeed first, left it no chance
    LEFT = "left"  # still waited when nothing could happen any more


@dataclass(slots=True)
class Record:
    """A job's way through the cluster; times in seconds of the clock of the trace."""

    job: Job
    ready: float  # it could have started from then on: it was there, at its time, and what it waits for had ended
    first_start: float = 0.0
    ended: float = 0.0
    fate: Fate = Fate.LEFT
    requeues: int = 0  # how often it gave way and began anew
    lost: float = 0.0  # device-seconds of work thrown away by that

    @property
    def ran(self) -> bool:
        """Whether it ran to an end."""
        return self.fate in (Fate.DONE, Fate.CUT)


@dataclass(slots=True)
class Course:
    """How full the cluster was: what held from one time until the next, in base units, of devices in thousandths."""

    times: array[float] = field(default_factory=lambda: array("d"))
    devices: array[int] = field(default_factory=lambda: array("q"))
    cpu: array[int] = field(default_factory=lambda: array("q"))
    memory: array[int] = field(default_factory=lambda: array("q"))
    waiting: array[int] = field(default_factory=lambda: array("q"))  # jobs that wait, for whatever
    sampled: array[float] = field(default_factory=lambda: array("d"))  # when fragmentation was looked at
    fragmentation: array[float] = field(default_factory=lambda: array("d"))  # 0 to 1

    def mean(self, values: array[int] | array[float], times: array[float] | None = None) -> float:
        """The mean over time, each value counting as long as it held."""
        moments: Times = np.array(self.times if times is None else times)
        if len(moments) < 2 or moments[-1] <= moments[0]:
            return 0.0
        return float(np.average(np.array(values)[:-1], weights=np.diff(moments)))


@dataclass(slots=True)
class Outcome:
    """One replay. Capacities in base units, of devices in thousandths."""

    records: list[Record]
    course: Course
    devices: int
    cpu: int
    memory: int
    preemptions: int = 0
