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
from benchmarks.changed import CHANGES
from madang.scheduling.policy import PlacementName
from madang.scheduling.simulate.fill import fill
from madang.scheduling.simulate.trace import read_trace
from scripts.private_platform import ROOT

NAMES = ("openb-fgd-100", "openb-fgd-130", "openb-pack-100", "openb-gain")
SEEDS: Final = range(10)
POLICIES: Final[Sequence[PlacementName]] = ("fgd", "pack")
PUBLISHED: Final = {"openb-fgd-100": 95.2, "openb-fgd-130": 95.4, "openb-pack-100": 92.9}
"""Means over ten seeds in Weng et al., "Beware of Fragmentation", USENIX ATC 2023, for fgd and for best fit."""


def trace_files() -> tuple[Path, Path]:
    """Nodes and jobs of the trace: in the directory that MADANG_OPENB names, else beside the clone."""
    place = Path(os.environ.get("MADANG_OPENB") or ROOT.parent / "shared" / "data" / "openb")
    return place / "openb_node_list_gpu_node.csv", place / "openb_pod_list_default.csv"


def fill_once(job: tuple[PlacementName, int, str]) -> tuple[float, float]:
    """The allocated share of all GPUs, in percent, when arrivals stand at 100% and at 130%."""
    placement, seed, change = job
    trace = read_trace(*trace_files())
    marks = fill(CHANGES[change](trace) if change else trace, placement, 1.3, seed).marks
    return 100 * marks[100].allocated, 100 * marks[130].allocated


def measure(bench: Bench) -> Sequence[Result]:
    missing = [path for path in trace_files() if not path.exists()]
    if missing:
        bench.say(f"  There is no trace: {missing[0]} is absent. Set MADANG_OPENB to the directory that holds it.")
        return []
    rows = [(str(seed), seed, "") for seed in SEEDS] + [(change, SEEDS[0], change) for change in CHANGES]
    jobs = [(policy, seed, change) for _, seed, change in rows for policy in POLICIES]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(jobs, pool.map(fill_once, jobs), strict=True))
    columns = {
        f"openb-{policy}-{mark}": [found[policy, seed, change][at] for _, seed, change in rows]
        for policy in POLICIES
        for at, mark in enumerate((100, 130))
    }
    means = {name: statistics.mean(values[: len(SEEDS)]) for name, values in columns.items()}
    shown = Table("seed or change", *columns, box=None, pad_edge=False)
    for row, (title, *_) in enumerate(rows):
        shown.add_row(title, *(f"{values[row]:.2f}" for values in columns.values()))
        if row == len(SEEDS) - 1:
            shown.add_row("mean", *(f"{mean:.2f}" for mean in means.values()), style="bold")
    bench.say(shown)
    gains = [one - other for one, other in zip(columns["openb-fgd-100"], columns["openb-pack-100"], strict=True)]
    note = f"{len(SEEDS)} seeds; baseline: as published"
    return [
        *(Result(name, means[name], PUBLISHED[name], note) for name in PUBLISHED),
        Result("openb-gain", min(gains), None, f"fgd over pack at 100%, the least of {len(gains)} fillings"),
    ]
