"""What the platform takes when nobody uses it, and what each running container adds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from benchmarks.base import Bench, Result
from madang.domain.session import SessionState
from madang.schemas.agent import NetworkMode
from madang.sdk import Client

NAMES = ("idle-rss-mib", "idle-cpu-pct", "container-rss-kib")
SETTLE_SECONDS = 5
WATCH_SECONDS = 20
CONTAINERS = 20
COMMAND = ["sleep", "12345"]


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in bytes: shared pages count in every process (rss), or are divided among them (pss)."""

    rss: int
    pss: int
    processes: int


def measure(bench: Bench) -> Sequence[Result]:
    """All processes of the platform count: manager, database, keeper, and what holds sandboxes."""
    time.sleep(SETTLE_SECONDS)
    before = _cpu_seconds(bench)
    time.sleep(WATCH_SECONDS)
    share = (_cpu_seconds(bench) - before) / WATCH_SECONDS * 100
    idle = _memory(bench)
    return [
        Result("idle-rss-mib", idle.rss / 2**20, None, f"{idle.processes} processes; PSS {idle.pss / 2**20:.0f} MiB"),
        Result("idle-cpu-pct", share, None, f"of one core, over {WATCH_SECONDS} s"),
        _container(bench),
    ]


def _container(bench: Bench) -> Result:
    with bench.client() as client:
        _added(bench, client, "none", CONTAINERS)  # what the first make the platform load is no cost of each one
        alone = _added(bench, client, "none", CONTAINERS)
        note = f"{alone.processes / CONTAINERS:g} platform processes each; PSS {alone.pss / CONTAINERS / 1024:.0f} KiB"
        if "outbound" in client.nodes.list()[0].report.networks:
            connected = _added(bench, client, "outbound", CONTAINERS // 2)
            note += f"; with network outbound {connected.rss / (CONTAINERS // 2) / 1024:,.0f} KiB"
    return Result("container-rss-kib", alone.rss / CONTAINERS / 1024, None, note)


def _added(bench: Bench, client: Client, network: NetworkMode, count: int) -> Memory:
    """What so many running containers add. The database is left out: how many connections it has is chance here."""
    before = _memory(bench, database=False)
    slots = {"cpu": "0.01", "mem": "16m"}
    sessions = [client.sessions.create(COMMAND, slots=slots, network=network).id for _ in range(count)]
    while any(client.sessions.get(session).state is not SessionState.RUNNING for session in sessions):
        time.sleep(0.1)
    after = _memory(bench, database=False)
    for session in sessions:
        client.sessions.stop(session, grace_seconds=0)
    for session in sessions:
        client.sessions.wait(session)
        client.sessions.delete(session)
    return Memory(after.rss - before.rss, after.pss - before.pss, after.processes - before.processes)


def _is_users(process: psutil.Process) -> bool:
    return process.cmdline() == COMMAND


def _memory(bench: Bench, *, database: bool = True) -> Memory:
    rss = pss = count = 0
    for process in bench.platform.processes():
        try:
            if not _is_users(process) and (database or process.name() != "postgres"):
                resident = process.memory_info().rss
                rss, pss, count = rss + resident, pss + _share(process, resident), count + 1
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return Memory(rss, pss, count)


def _share(process: psutil.Process, resident: int) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return resident  # who is not root may not look into a sandbox: its shared pages are counted in full


def _cpu_seconds(bench: Bench) -> float:
    total = 0.0
    for process in bench.platform.processes():
        try:
            times = process.cpu_times()
            total += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return total
