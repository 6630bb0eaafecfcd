"""How much of its GPUs each placement policy gets to give away on the openb trace, by the protocol of its authors."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

from rich.table import Table

from benchmarks.base import Bench, Result
from madang.scheduling.policy import PlacementName
from madang.scheduling.simulate.fill import fill
from madang.scheduling.simulate.trace import read_trace
from scripts.private_platform import ROOT

NAMES = ("openb-fgd-100", "openb-fgd-130", "openb-pack-100")
SEEDS: Final = range(10)
POLICIES: Final[Sequence[PlacementName]] = ("fgd", "pack")
PUBLISHED: Final = {"openb-fgd-100": 95.2, "openb-fgd-130": 95.4, "openb-pack-100": 92.9}
"""Means over ten seeds in Weng et al., "Beware of Fragmentation", USENIX ATC 2023, for fgd and for best fit."""


def trace_files() -> tuple[Path, Path]:
    """Nodes and jobs of the trace: in the directory that MADANG_OPENB names, else beside the clone."""
    place = Path(os.environ.get("MADANG_OPENB") or ROOT.parent / "shared" / "data" / "openb")
    return place / "openb_node_list_gpu_node.csv", place / "openb_pod_list_default.csv"


def fill_once(job: tuple[PlacementName, int]) -> tuple[float, float]:
    """The allocated share of all GPUs, in percent, when arrivals stand at 100% and at 130%."""
    placement, seed = job
    marks = fill(read_trace(*trace_files()), placement, 1.3, seed).marks
    return 100 * marks[100].allocated, 100 * marks[130].allocated


def measure(bench: Bench) -> Sequence[Result]:
    missing = [path for path in trace_files() if not path.exists()]
    if missing:
        bench.say(f"  There is no trace: {missing[0]} is absent. Set MADANG_OPENB to the directory that holds it.")
        return []
    jobs = [(placement, seed) for placement in POLICIES for seed in SEEDS]
    with ProcessPoolExecutor(os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()) as pool:
        found = dict(zip(jobs, pool.map(fill_once, jobs), strict=True))
    columns = {
        f"openb-{policy}-{mark}": [found[policy, seed][at] for seed in SEEDS]
        for policy in POLICIES
        for at, mark in enumerate((100, 130))
    }
    shown = Table(box=None, pad_edge=False)
    for heading in ("seed", *columns):
        shown.add_column(heading, justify="right")
    for row, seed in enumerate(SEEDS):
        shown.add_row(str(seed), *(f"{values[row]:.2f}" for values in columns.values()))
    shown.add_row("mean", *(f"{statistics.mean(values):.2f}" for values in columns.values()), style="bold")
    bench.say(shown)
    return [
        Result(
            name,
            statistics.mean(columns[name]),
            PUBLISHED[name],
            f"{len(SEEDS)} seeds, {min(columns[name]):.2f} to {max(columns[name]):.2f}; baseline: as published",
        )
        for name in NAMES
    ]
