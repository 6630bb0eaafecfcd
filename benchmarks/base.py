"""What a benchmark is: a group of named figures with budgets; groups that need a running platform share one."""

from __future__ import annotations

import math
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

from rich.console import Console

from madang.sdk import Client
from scripts.private_platform import PrivatePlatform, wait_for_environment


@dataclass(frozen=True, slots=True)
class Budget:
    """What a figure may be at most, or at least."""

    unit: str
    limit: float
    at_least: bool = False

    def holds(self, value: float) -> bool:
        """Whether a measured value keeps the budget."""
        return value >= self.limit if self.at_least else value <= self.limit


BUDGETS = {
    "session-start-p50-ms": Budget("ms", 150),
    "session-start-p95-ms": Budget("ms", 400),
    "burst-100-s": Budget("s", 1),
    "api-reads-rps": Budget("1/s", 2000, at_least=True),
    "api-reads-p99-ms": Budget("ms", 50),
    "idle-rss-mib": Budget("MiB", 300),
    "idle-cpu-pct": Budget("%", 1),
    "container-rss-kib": Budget("KiB", 2048),
    "up-second-start-s": Budget("s", 3),
    "durable-placements-rps": Budget("1/s", 300, at_least=True),
    "plan-pass-s": Budget("s", 1),
    "plan-growth": Budget("exponent", 1.2),
    "plan-rate": Budget("1/s", 10_000, at_least=True),
    "plan-rate-fifo": Budget("1/s", 10_000, at_least=True),
    "plan-rate-lifo": Budget("1/s", 10_000, at_least=True),
    "plan-rate-drf": Budget("1/s", 10_000, at_least=True),
    "plan-rate-fair-share": Budget("1/s", 10_000, at_least=True),
    "plan-rate-pack": Budget("1/s", 10_000, at_least=True),
    "plan-rate-spread": Budget("1/s", 10_000, at_least=True),
    "plan-rate-fgd": Budget("1/s", 10_000, at_least=True),
    "openb-fgd-100": Budget("%", 95.2, at_least=True),
    "openb-fgd-130": Budget("%", 95.4, at_least=True),
    "openb-pack-100": Budget("%", 92.5, at_least=True),
    "openb-gain": Budget("points", 0, at_least=True),
}


@dataclass(frozen=True, slots=True)
class Result:
    """One measured figure; `baseline` is what this machine does in the same run without Madang."""

    name: str
    value: float
    baseline: float | None = None
    note: str = ""
    errors: int = 0

    @property
    def budget(self) -> Budget:
        return BUDGETS[self.name]

    @property
    def ok(self) -> bool:
        return self.errors == 0 and self.budget.holds(self.value)


class Bench:
    """What every group gets: a running platform, started when one first asks for it, and a client for it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._open = ExitStack()

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def say(self, message: object) -> None:
        """Tell whoever watches: a line, or a table."""
        self.console.print(message)

    @cached_property
    def platform(self) -> PrivatePlatform:
        """A platform of its own, with the environment `python`."""
        platform = PrivatePlatform(lambda line: self.console.print(f"  {line}", style="dim", markup=False))
        self._open.enter_context(platform)
        with Client(url=platform.url, token=platform.token) as client:
            wait_for_environment(client, "python", self.console)
        return platform

    @cached_property
    def interpreter(self) -> Path:
        """The Python of the built `python` environment, for baselines outside of any sandbox."""
        store = self.platform.data_dir / "environments"
        found = sorted(store.glob("*/bin/python"), key=lambda path: path.lstat().st_mtime)
        if not found:
            raise FileNotFoundError(f"no environment with bin/python in {store}")
        return found[-1]

    def client(self) -> Client:
        """A client of the platform, to be closed by the caller."""
        return Client(url=self.platform.url, token=self.platform.token)


Group = Callable[[Bench], Sequence[Result]]


def median_seconds(command: Sequence[str], runs: int = 15) -> float:
    """The median time of running a command, after one run that warms the caches."""
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
