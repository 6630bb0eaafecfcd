"""What the agent finds and prepares on its host: the sandboxes' user, files that every sandbox shares, capacity."""

from __future__ import annotations

import hashlib
import os
import platform
import pwd
import subprocess
from pathlib import Path
from typing import Final

import psutil

from madang.agent.keeper.plan import Identity
from madang.domain.errors import StartupError

SANDBOX_USER: Final = "madang-sandbox"


def sandbox_identity() -> Identity | None:
    """The unprivileged user all sandboxes run as when the platform runs as root; made on first use. None: not root.

    Raises StartupError when the user cannot be made.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(SANDBOX_USER)
    except KeyError:
        entry = _make_user()
    return {"uid": entry.pw_uid, "gid": entry.pw_gid}


def _make_user() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", SANDBOX_USER]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        complaint = done.stderr.strip()
    except FileNotFoundError:
        complaint = "there is no useradd"
    try:
        return pwd.getpwnam(SANDBOX_USER)  # also when another process made it meanwhile
    except KeyError:
        raise StartupError(
            f"The user '{SANDBOX_USER}', under which sandboxes run, cannot be made: {complaint}. "
            f"Make it by hand (`useradd --system {SANDBOX_USER}`), or start Madang as an ordinary user."
        ) from None


def instance_name(data_dir: Path) -> str:
    """A short name that keeps the control groups of several Madangs on one machine apart."""
    return hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:8]


def capacity(mem_reserve_bytes: int) -> dict[str, int]:
    """What the node offers: processors we may use (millicores), and memory without the reserve (bytes).

    A control group around us may allow less than the machine has; at least a tenth of the memory is kept back.
    """
    total = min(psutil.virtual_memory().total, *_memory_limits())
    reserve = min(mem_reserve_bytes, total // 2)
    mem = min(total - reserve, total * 9 // 10)
    return {"cpu": len(processors()) * 1000, "mem": mem >> 20 << 20}


def processors() -> list[int]:
    """The processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _memory_limits() -> list[int]:
    limits = [1 << 62]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            limits.append(int(text))
    return limits


def system_name() -> str:
    """The operating system and kernel in a line."""
    if platform.system() == "Linux":
        try:
            release = platform.freedesktop_os_release()["PRETTY_NAME"]
        except (OSError, KeyError):
            release = "Linux"
        return f"{release}, Linux {platform.release()}"
    return f"{platform.system()} {platform.release()}"
