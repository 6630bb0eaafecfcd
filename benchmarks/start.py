"""The second start of `madang up`, with its database and environments already made."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence

import httpx

from benchmarks.base import Bench, Result, median_seconds

NAMES = ("up-second-start-s",)
RUNS = 5
LIBRARIES = "import fastapi, uvicorn, asyncpg, sqlalchemy.ext.asyncio"


def measure(bench: Bench) -> Sequence[Result]:
    """From the command to the first healthy answer of the API."""
    times = []
    for _ in range(RUNS):
        bench.platform.stop()
        began = time.perf_counter()
        bench.platform.start()
        while httpx.get(f"{bench.platform.url}/readyz").status_code != 200:
            time.sleep(0.01)
        times.append(time.perf_counter() - began)
    baseline = median_seconds([sys.executable, "-c", LIBRARIES], 5)
    return [Result("up-second-start-s", statistics.median(times), baseline, "baseline: importing the web libraries")]
