"""What a container uses: from its control group, or from its processes where there is none."""

from __future__ import annotations

from datetime import UTC, datetime

import psutil

from madang.agent.cgroups import Cgroups
from madang.agent.containers import Container
from madang.schemas.agent import Usage


def usage_of(container: Container, cgroups: Cgroups | None) -> Usage | None:
    """Current use; None when the container is gone. Blocks briefly."""
    at = datetime.now(UTC)
    if cgroups is not None:
        group = cgroups.usage(container.spec.container_id)
        if group is None:
            return None
        return Usage(
            at=at,
            cpu_seconds=group.cpu_seconds,
            mem_bytes=group.mem_bytes,
            mem_peak_bytes=group.mem_peak_bytes,
            processes=group.processes,
        )
    try:
        main = psutil.Process(container.main_pid)
        members = [main, *main.children(recursive=True)]
    except psutil.NoSuchProcess:
        return None
    cpu, mem, alive = 0.0, 0, 0
    for process in members:
        try:
            times = process.cpu_times()
            mem += process.memory_info().rss
        except psutil.Error:  # ended meanwhile
            continue
        cpu += times.user + times.system + times.children_user + times.children_system
        alive += 1
    return Usage(at=at, cpu_seconds=cpu, mem_bytes=mem, mem_peak_bytes=mem, processes=alive)
