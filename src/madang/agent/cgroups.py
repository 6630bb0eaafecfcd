"""Limits on a container's CPU, memory and processes by control groups, version 2 or 1, whichever can be written."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from madang.agent.keeper.linux import kill_quietly

_ROOT: Final = "madang"
_PERIOD: Final = 100_000  # of the CPU quota, in us
_MIN_QUOTA: Final = 1_000  # the kernel's smallest quota, in us
_CONTROLLERS: Final = ("cpu", "memory", "pids")
_LEAF: Final = "supervisor"  # takes the processes of a group whose children get controllers


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """What the processes of a control group use together."""

    cpu_seconds: float
    mem_bytes: int
    mem_peak_bytes: int
    processes: int


class Cgroups(Protocol):
    """Control groups of containers, one a container, below a directory of our own."""

    version: int

    def create(self, name: str, cpu: int, mem: int, processes: int) -> None:
        """Make the group: `cpu` in millicores, `mem` in bytes. Made again, it takes the new limits."""

    def directories(self, name: str) -> list[str]:
        """Directories whose `cgroup.procs` a process has to join."""

    def oom_file(self, name: str) -> str:
        """The file with the line `oom_kill N`."""

    def usage(self, name: str) -> GroupUsage | None:
        """What the group uses; None when it is gone."""

    def kill(self, name: str) -> None:
        """Kill every process of the group, forks during the killing included."""

    def remove(self, name: str) -> None:
        """Kill what is left and remove the group; a missing one is no error."""

    def release(self) -> None:
        """Remove our own directory when no container is in it; made again at the next start."""


def _read(path: str | Path) -> str:
    with open(path) as file:
        return file.read()


def _write(path: str | Path, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _read_int(path: str) -> int:
    try:
        return int(_read(path))
    except (OSError, ValueError):
        return 0


def _flat(path: str) -> dict[str, int]:
    """A flat-keyed cgroup file as a mapping; empty when it is missing."""
    try:
        pairs = (line.split() for line in _read(path).splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].lstrip("-").isdigit()}
    except OSError:
        return {}


def _remove_directory(path: str, patience: float = 2.0) -> None:
    """Remove an empty group; the kernel needs a moment to see that its last process is gone."""
    deadline = time.monotonic() + patience
    while True:
        try:
            os.rmdir(path)
            return
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                return
            time.sleep(0.002)


def _kill_members(procs: str, patience: float = 5.0) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            members = [int(line) for line in _read(procs).split()]
        except OSError:
            return
        if not members:
            return
        for pid in members:
            if pid > 0:
                kill_quietly(pid, signal.SIGKILL)
        time.sleep(0.001)


class CgroupsV2:
    """The unified hierarchy."""

    version = 2

    def __init__(self, base: Path) -> None:
        self._base = base

    def _path(self, name: str) -> str:
        return str(self._base / name)

    def create(self, name: str, cpu: int, mem: int, processes: int) -> None:
        path = self._path(name)
        os.makedirs(path, exist_ok=True)
        _write(f"{path}/cpu.max", f"{max(cpu * _PERIOD // 1000, _MIN_QUOTA)} {_PERIOD}")
        _write(f"{path}/memory.max", str(mem))
        _write(f"{path}/pids.max", str(processes))
        for file, text in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with contextlib.suppress(OSError):  # no swap accounting, or an older kernel
                _write(f"{path}/{file}", text)

    def directories(self, name: str) -> list[str]:
        return [self._path(name)]

    def oom_file(self, name: str) -> str:
        return f"{self._path(name)}/memory.events"

    def usage(self, name: str) -> GroupUsage | None:
        path = self._path(name)
        if not os.path.isdir(path):
            return None
        current = _read_int(f"{path}/memory.current")
        return GroupUsage(
            _flat(f"{path}/cpu.stat").get("usage_usec", 0) / 1e6,
            current,
            _read_int(f"{path}/memory.peak") or current,
            _read_int(f"{path}/pids.current"),
        )

    def kill(self, name: str) -> None:
        path = self._path(name)
        try:
            _write(f"{path}/cgroup.kill", "1")
        except FileNotFoundError:
            _kill_members(f"{path}/cgroup.procs")

    def remove(self, name: str) -> None:
        if os.path.isdir(self._path(name)):
            self.kill(name)
            _remove_directory(self._path(name))

    def release(self) -> None:
        _remove_directory(str(self._base), patience=0)


class CgroupsV1:
    """One hierarchy a controller; `bases` maps cpu, memory and pids to our directory in each."""

    version = 1

    def __init__(self, bases: Mapping[str, Path]) -> None:
        self._bases = bases

    def _path(self, controller: str, name: str) -> str:
        return str(self._bases[controller] / name)

    def create(self, name: str, cpu: int, mem: int, processes: int) -> None:
        for directory in self.directories(name):
            os.makedirs(directory, exist_ok=True)
        _write(f"{self._path('cpu', name)}/cpu.cfs_period_us", str(_PERIOD))
        _write(f"{self._path('cpu', name)}/cpu.cfs_quota_us", str(max(cpu * _PERIOD // 1000, _MIN_QUOTA)))
        memory = self._path("memory", name)
        with contextlib.suppress(OSError):  # lowering the sum below the limit is refused: lift it first
            _write(f"{memory}/memory.memsw.limit_in_bytes", "-1")
        _write(f"{memory}/memory.limit_in_bytes", str(mem))
        with contextlib.suppress(OSError):  # no swap accounting
            _write(f"{memory}/memory.memsw.limit_in_bytes", str(mem))
        _write(f"{self._path('pids', name)}/pids.max", str(processes))

    def directories(self, name: str) -> list[str]:
        return list(dict.fromkeys(self._path(controller, name) for controller in self._bases))

    def oom_file(self, name: str) -> str:
        return f"{self._path('memory', name)}/memory.oom_control"

    def usage(self, name: str) -> GroupUsage | None:
        memory = self._path("memory", name)
        if not os.path.isdir(memory):
            return None
        cpu = self._path("cpuacct", name) if "cpuacct" in self._bases else self._path("cpu", name)
        return GroupUsage(
            _read_int(f"{cpu}/cpuacct.usage") / 1e9,
            _read_int(f"{memory}/memory.usage_in_bytes"),
            _read_int(f"{memory}/memory.max_usage_in_bytes"),
            _read_int(f"{self._path('pids', name)}/pids.current"),
        )

    def kill(self, name: str) -> None:
        _kill_members(f"{self._path('pids', name)}/cgroup.procs")

    def remove(self, name: str) -> None:
        self.kill(name)
        for directory in self.directories(name):
            _remove_directory(directory)

    def release(self) -> None:
        for base in self._bases.values():
            _remove_directory(str(base), patience=0)


def detect(instance: str) -> tuple[Cgroups | None, str]:
    """The control groups we can write, or None and the reason why not.

    `instance` keeps several Madangs on one machine apart.
    """
    if not os.path.isdir("/sys/fs/cgroup"):
        return None, "this system has no control groups"
    reasons: list[str] = []
    for attempt in (_detect_v2, _detect_v1):
        found, reason = attempt(instance)
        if found is not None:
            return found, ""
        reasons.append(reason)
    return None, "; ".join(reason for reason in reasons if reason)


def _own_groups() -> dict[str, str]:
    """This process's group in each hierarchy; the key of version 2 is the empty string."""
    groups: dict[str, str] = {}
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    return groups


def _mounts() -> tuple[Path | None, dict[str, Path]]:
    """Where version 2 is mounted, and each controller of version 1."""
    unified: Path | None = None
    controllers: dict[str, Path] = {}
    for line in _read("/proc/self/mounts").splitlines():
        _, target, kind, options, *_ = line.split()
        if kind == "cgroup2" and unified is None:
            unified = Path(target)
        elif kind == "cgroup":
            controllers |= {name: Path(target) for name in options.split(",") if name in (*_CONTROLLERS, "cpuacct")}
    return unified, controllers


def _detect_v2(instance: str) -> tuple[Cgroups | None, str]:
    mount, _ = _mounts()
    if mount is None:
        return None, "cgroup v2 is not mounted"
    own = mount / _own_groups().get("", "/").lstrip("/")
    # An earlier start moved us, or the shell we come from, into the leaf: its containers' groups lie beside it.
    parents = [own.parent, own] if own.name == _LEAF else [own]
    if os.geteuid() == 0:
        parents.insert(0, mount)
    reason = ""
    for parent in dict.fromkeys(parents):
        try:
            missing = set(_CONTROLLERS) - set(_read(parent / "cgroup.controllers").split())
            if missing:
                reason = f"cgroup v2 offers no {', '.join(sorted(missing))} controller in {parent}"
                continue
            _delegate(parent)
            base = parent / f"{_ROOT}-{instance}"
            base.mkdir(exist_ok=True)
            _enable(base)
            return CgroupsV2(base), ""
        except OSError as error:
            reason = f"cgroup v2 cannot be written in {parent} ({error.strerror}); "
            reason += "start with `systemd-run --user --scope -p Delegate=yes madang up` to get a group of your own"
    return None, reason


def _enable(group: Path) -> None:
    _write(group / "cgroup.subtree_control", " ".join(f"+{name}" for name in _CONTROLLERS))


def _delegate(parent: Path) -> None:
    """Let children of `parent` have controllers; a group with processes of its own has to move them to a leaf first."""
    enabled = set(_read(parent / "cgroup.subtree_control").split())
    if set(_CONTROLLERS) <= enabled:
        return
    try:
        _enable(parent)
    except OSError:
        leaf = parent / _LEAF
        leaf.mkdir(exist_ok=True)
        for pid in _read(parent / "cgroup.procs").split():
            with contextlib.suppress(OSError):  # kernel threads, and processes that just ended
                _write(leaf / "cgroup.procs", pid)
        _enable(parent)


def _detect_v1(instance: str) -> tuple[Cgroups | None, str]:
    _, controllers = _mounts()
    missing = set(_CONTROLLERS) - set(controllers)
    if missing:
        return None, ""  # no version 1 here: what version 2 says is the reason
    own = _own_groups()
    bases: dict[str, Path] = {}
    for controller, mount in controllers.items():
        candidates = [mount, mount / own.get(controller, "/").lstrip("/")]
        base = _first_writable(candidates, f"{_ROOT}-{instance}")
        if base is None:
            return None, f"cgroup v1 cannot be written in {mount}; start as root or ask for a delegated group"
        bases[controller] = base
    return CgroupsV1(bases), ""


def _first_writable(parents: Sequence[Path], name: str) -> Path | None:
    for parent in parents:
        base = parent / name
        with contextlib.suppress(OSError):
            base.mkdir(exist_ok=True)
            if os.access(base, os.W_OK):
                return base
    return None
