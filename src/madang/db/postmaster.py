"""Telling whether a PostgreSQL server runs on a data directory, and noticing when it ends."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class PidFile:
    """What `postmaster.pid` says: lines 1, 5 and 8 of it."""

    pid: int
    socket_dir: Path | None
    status: str  # "starting", "stopping", "ready" or "standby"; empty while it is being written


def read_pid_file(data: Path) -> PidFile | None:
    """The pid file of a data directory; None when there is none or it is not readable as one yet."""
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
        pid = int(lines[0])
    except (OSError, IndexError, ValueError):
        return None
    socket_dir = Path(lines[4]) if len(lines) > 4 and lines[4].strip() else None
    return PidFile(pid, socket_dir, lines[7].strip() if len(lines) > 7 else "")


def serves(pid: int, data: Path) -> bool:
    """Whether process `pid` is a live PostgreSQL of this data directory, and not another program by that number."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or process.name() != "postgres":
            return False
        return Path(process.cwd()) == data
    except (psutil.Error, OSError):
        return False


def processes_of(data: Path) -> list[int]:
    """Server processes whose working directory is the data directory, also those whose postmaster is gone."""
    return [
        process.pid
        for process in psutil.process_iter(["name"])
        if process.info["name"] == "postgres" and serves(process.pid, data)
    ]


async def wait_gone(pid: int, poll_seconds: float = 0.25) -> None:
    """Return when process `pid` has ended (a zombie has). At once on Linux, by polling elsewhere."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):
        while _lives(pid):  # noqa: ASYNC110 - nothing tells of a foreign process here
            await asyncio.sleep(poll_seconds)
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    try:
        loop.add_reader(descriptor, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
