"""From asking for a session to the first byte of its output, one session after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.base import Bench, Result, median_seconds, percentile

NAMES = ("session-start-p50-ms", "session-start-p95-ms")
WARM_UPS = 3
RUNS = 60
COMMAND = ["python", "-c", "print('ready')"]


def measure(bench: Bench) -> Sequence[Result]:
    """Sessions of the `python` environment that print at once; beside it the same command without a sandbox."""
    baseline = median_seconds([str(bench.interpreter), *COMMAND[1:]]) * 1000
    times = []
    with bench.client() as client:
        for _ in range(WARM_UPS + RUNS):
            began = time.perf_counter()
            session = client.sessions.create(command=COMMAND, environment="python", slots={"cpu": "1", "mem": "256m"})
            for piece in client.sessions.logs(session.id):
                if piece.data:
                    times.append((time.perf_counter() - began) * 1000)
                    break
            client.sessions.wait(session.id)
            client.sessions.delete(session.id)
    times = times[WARM_UPS:]
    note = f"{RUNS} sessions; baseline: the same command without a sandbox"
    return [
        Result("session-start-p50-ms", percentile(times, 0.50), baseline, note),
        Result("session-start-p95-ms", percentile(times, 0.95), baseline, note),
    ]
