"""What works on this host: tried, not guessed. Used when an agent starts and by `madang doctor`."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Final

from madang.agent.keeper.plan import Identity
from madang.agent.runtimes.bubblewrap import find_bubblewrap
from madang.agent.runtimes.seccomp import supported
from madang.domain.errors import StartupError

_TRIAL: Final = (
    *("--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000", "--hostname", "trial"),
    *("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--", "/bin/true"),
)
_ADVICE: Final = (
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor forbids user namespaces: `sysctl kernel.apparmor_restrict_unprivileged_userns=0`",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "user namespaces are switched off: `sysctl kernel.unprivileged_userns_clone=1`",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "user namespaces are switched off: `sysctl user.max_user_namespaces=10000`",
    ),
)


def bubblewrap_problem(identity: Identity | None) -> str:
    """Why bubblewrap cannot make sandboxes here, with what to do; empty when it can.

    `identity`: the user under which sandboxes run; None: the caller's own.
    """
    if sys.platform != "linux":
        return f"bubblewrap needs Linux; this is {platform.system()}"
    if not supported():
        return f"there is no system call filter for {platform.machine()} processors yet"
    try:
        program, libraries = find_bubblewrap()
        complaint = _try(program, libraries, identity)
    except (StartupError, OSError, subprocess.SubprocessError) as error:
        return str(error)
    if not complaint:
        return ""
    for path, value, advice in _ADVICE:
        try:
            if Path(path).read_text().strip() == value:
                return f"{complaint}; {advice}"
        except OSError:
            continue
    return complaint


def _try(program: Path, libraries: Path | None, identity: Identity | None) -> str:
    # By descriptor, because the sandboxes' user may not be able to enter the directories that lead there.
    opened = [os.open(program, os.O_RDONLY)]
    environment = {}
    if libraries is not None:
        opened.append(os.open(libraries, os.O_PATH))
        environment["LD_LIBRARY_PATH"] = f"/proc/self/fd/{opened[1]}"
    try:
        done = subprocess.run(
            ["bwrap", *_TRIAL],
            executable=f"/proc/self/fd/{opened[0]}",
            pass_fds=opened,
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            user=identity["uid"] if identity else None,
            group=identity["gid"] if identity else None,
            extra_groups=[] if identity else None,
        )
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return "" if done.returncode == 0 else done.stderr.strip() or f"bubblewrap ended with {done.returncode}"
