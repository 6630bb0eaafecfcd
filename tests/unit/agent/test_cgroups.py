"""Control groups get the limits that were asked for, in the files of their version; without any, the reason is told."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from madang.agent import cgroups
from madang.agent.cgroups import CgroupsV1, CgroupsV2, GroupUsage, detect


def _text(path: Path) -> str:
    return path.read_text().strip()


@pytest.fixture
def v1(tmp_path: Path) -> CgroupsV1:
    bases: dict[str, Path] = {}
    for mount, controllers in {"cpu,cpuacct": ("cpu", "cpuacct"), "memory": ("memory",), "pids": ("pids",)}.items():
        base = tmp_path / mount / "madang-x"
        base.mkdir(parents=True)
        bases |= dict.fromkeys(controllers, base)
    return CgroupsV1(bases)


def test_version_2_takes_the_limits(tmp_path: Path) -> None:
    groups = CgroupsV2(tmp_path)
    groups.create("c1", cpu=1500, mem=1 << 30, processes=64)
    group = tmp_path / "c1"
    assert _text(group / "cpu.max") == "150000 100000"
    assert _text(group / "memory.max") == str(1 << 30)
    assert _text(group / "memory.swap.max") == "0"
    assert _text(group / "memory.oom.group") == "1"
    assert _text(group / "pids.max") == "64"
    assert groups.directories("c1") == [str(group)]
    assert groups.oom_file("c1") == str(group / "memory.events")


def test_version_1_takes_the_limits(v1: CgroupsV1, tmp_path: Path) -> None:
    v1.create("c1", cpu=1500, mem=1 << 30, processes=64)
    cpu, memory, pids = (tmp_path / mount / "madang-x" / "c1" for mount in ("cpu,cpuacct", "memory", "pids"))
    assert (_text(cpu / "cpu.cfs_quota_us"), _text(cpu / "cpu.cfs_period_us")) == ("150000", "100000")
    assert _text(memory / "memory.limit_in_bytes") == str(1 << 30)
    assert _text(memory / "memory.memsw.limit_in_bytes") == str(1 << 30)  # memory and swap together: no swap
    assert _text(pids / "pids.max") == "64"
    assert v1.directories("c1") == [str(cpu), str(memory), str(pids)]  # each once
    assert v1.oom_file("c1") == str(memory / "memory.oom_control")


def test_the_smallest_cpu_limit_is_one_the_kernel_takes(tmp_path: Path, v1: CgroupsV1) -> None:
    groups = CgroupsV2(tmp_path / "v2")
    groups.create("c", cpu=1, mem=1 << 20, processes=1)
    v1.create("c", cpu=1, mem=1 << 20, processes=1)
    assert _text(tmp_path / "v2/c/cpu.max") == "1000 100000"
    assert _text(tmp_path / "cpu,cpuacct/madang-x/c/cpu.cfs_quota_us") == "1000"


def test_made_again_a_group_takes_the_new_limits(tmp_path: Path, v1: CgroupsV1) -> None:
    groups = CgroupsV2(tmp_path / "v2")
    for cpu, mem, processes in ((1000, 1 << 30, 10), (2000, 2 << 30, 20)):
        groups.create("c", cpu, mem, processes)
        v1.create("c", cpu, mem, processes)
    assert _text(tmp_path / "v2/c/cpu.max") == "200000 100000"
    assert _text(tmp_path / "v2/c/memory.max") == str(2 << 30)
    assert _text(tmp_path / "v2/c/pids.max") == "20"
    assert _text(tmp_path / "memory/madang-x/c/memory.limit_in_bytes") == str(2 << 30)


def test_a_kernel_without_swap_accounting_still_limits_memory(
    tmp_path: Path, v1: CgroupsV1, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = cgroups._write

    def refuse(path: str | Path, text: str) -> None:
        if Path(path).name in ("memory.swap.max", "memory.oom.group", "memory.memsw.limit_in_bytes"):
            raise PermissionError(path)
        write(path, text)

    monkeypatch.setattr(cgroups, "_write", refuse)
    CgroupsV2(tmp_path / "v2").create("c", 1000, 1 << 30, 10)
    v1.create("c", 1000, 1 << 30, 10)
    assert _text(tmp_path / "v2/c/memory.max") == str(1 << 30)
    assert _text(tmp_path / "memory/madang-x/c/memory.limit_in_bytes") == str(1 << 30)


def test_version_2_tells_what_is_used(tmp_path: Path) -> None:
    groups = CgroupsV2(tmp_path)
    assert groups.usage("c") is None
    groups.create("c", 1000, 1 << 30, 10)
    assert groups.usage("c") == GroupUsage(0, 0, 0, 0)  # files the kernel does not have
    for name, text in {
        "cpu.stat": "usage_usec 2500000\nuser_usec 1\nnr_periods\nodd line here\n",
        "memory.current": "4096\n",
        "pids.current": "3\n",
    }.items():
        (tmp_path / "c" / name).write_text(text)
    assert groups.usage("c") == GroupUsage(2.5, 4096, 4096, 3)  # without a peak, what is used now
    (tmp_path / "c/memory.peak").write_text("8192\n")
    assert groups.usage("c") == GroupUsage(2.5, 4096, 8192, 3)


def test_version_1_tells_what_is_used(v1: CgroupsV1, tmp_path: Path) -> None:
    assert v1.usage("c") is None
    v1.create("c", 1000, 1 << 30, 10)
    (tmp_path / "cpu,cpuacct/madang-x/c/cpuacct.usage").write_text("2500000000\n")
    (tmp_path / "memory/madang-x/c/memory.usage_in_bytes").write_text("4096\n")
    (tmp_path / "memory/madang-x/c/memory.max_usage_in_bytes").write_text("8192\n")
    (tmp_path / "pids/madang-x/c/pids.current").write_text("3\n")
    assert v1.usage("c") == GroupUsage(2.5, 4096, 8192, 3)


def test_version_2_kills_all_at_once(tmp_path: Path) -> None:
    groups = CgroupsV2(tmp_path)
    groups.create("c", 1000, 1 << 30, 10)
    groups.kill("c")
    assert _text(tmp_path / "c/cgroup.kill") == "1"


class _Members:
    """A group whose members are children of the test, as the kernel would show them; pid 0 is one of elsewhere."""

    def __init__(self, count: int) -> None:
        self.children = [subprocess.Popen(["sleep", "60"]) for _ in range(count)]

    def read(self, path: str | Path) -> str:
        assert Path(path).name == "cgroup.procs"
        alive = [child.pid for child in self.children if child.poll() is None]
        return "\n".join(str(pid) for pid in ([0, *alive] if alive else []))

    def close(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()


def test_older_kernels_have_every_process_killed(
    v1: CgroupsV1, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_kill_file(path: str | Path, text: str) -> None:
        raise FileNotFoundError(path)

    for groups in (v1, CgroupsV2(tmp_path)):
        members = _Members(3)
        try:
            with monkeypatch.context() as patch:
                patch.setattr(cgroups, "_read", members.read)
                patch.setattr(cgroups, "_write", no_kill_file)
                groups.kill("c")
            assert [child.returncode for child in members.children] == [-signal.SIGKILL] * 3
        finally:
            members.close()


def test_a_group_is_removed_whole_and_a_missing_one_is_no_error(
    v1: CgroupsV1, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.rmdir

    def remove(path: str) -> None:
        for file in Path(path).glob("*"):  # control groups are removed with their files
            file.unlink()
        really(path)

    monkeypatch.setattr(os, "rmdir", remove)
    for groups in (v1, CgroupsV2(tmp_path / "v2")):
        groups.remove("missing")
        groups.kill("missing")
        groups.create("c", 1000, 1 << 30, 10)
        groups.remove("c")
        assert not any(Path(directory).exists() for directory in groups.directories("c"))


class _Machine:
    """A machine's control groups: directories below `root`, and what /proc/self says."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.mounts = f"proc /proc proc rw 0 0\ntmpfs {root} tmpfs rw 0 0\n"
        self.own = ""
        self._read = cgroups._read
        self._write = cgroups._write
        self.read_only: Path | None = None
        monkeypatch.setattr(cgroups, "_read", self.read)
        monkeypatch.setattr(cgroups, "_write", self.write)

    def read(self, path: str | Path) -> str:
        return {"/proc/self/mounts": self.mounts, "/proc/self/cgroup": self.own}.get(str(path)) or self._read(path)

    def write(self, path: str | Path, text: str) -> None:
        if self.read_only is not None and Path(path).is_relative_to(self.read_only):
            raise PermissionError(13, "Permission denied", str(path))
        if Path(path).name == "cgroup.subtree_control" and _text(Path(path).parent / "cgroup.procs"):
            raise OSError(16, "Device or resource busy", str(path))  # no processes in inner groups
        self._write(path, text)
        if Path(path).name == "cgroup.procs":
            (self.root / "cgroup.procs").write_text("")

    def unified(self, controllers: str, procs: str = "") -> Path:
        self.mounts += f"cgroup2 {self.root} cgroup2 rw,nsdelegate 0 0\n"
        self.own += "0::/\n"
        for name, text in (("controllers", controllers), ("subtree_control", ""), ("procs", procs)):
            (self.root / f"cgroup.{name}").write_text(text + "\n")
        return self.root

    def legacy(self, *mounts: str) -> None:
        for number, mount in enumerate(mounts):
            (self.root / mount).mkdir()
            self.mounts += f"cgroup {self.root / mount} cgroup rw,nosuid,{mount} 0 0\n"
            self.own += f"{number + 2}:{mount}:/\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Machine:
    def is_directory(path: str) -> bool:
        return path == "/sys/fs/cgroup" or Path(path).is_dir()

    monkeypatch.setattr(os.path, "isdir", is_directory)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    make = Path.mkdir

    def mkdir(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        make(self, mode, parents, exist_ok)
        if (self.parent / "cgroup.procs").exists():  # the kernel fills in the files of a group
            (self / "cgroup.procs").touch()

    monkeypatch.setattr(Path, "mkdir", mkdir)
    return _Machine(tmp_path, monkeypatch)


def test_version_2_is_found_and_its_controllers_handed_down(machine: _Machine) -> None:
    root = machine.unified("cpuset cpu io memory pids")
    found, reason = detect("x")
    assert isinstance(found, CgroupsV2)
    assert reason == ""
    assert found.directories("c") == [str(root / "madang-x" / "c")]
    assert _text(root / "cgroup.subtree_control") == "+cpu +memory +pids"
    assert _text(root / "madang-x/cgroup.subtree_control") == "+cpu +memory +pids"


def test_processes_in_the_way_are_moved_to_a_leaf(machine: _Machine) -> None:
    root = machine.unified("cpu memory pids", procs=str(os.getpid()))
    found, _ = detect("x")
    assert isinstance(found, CgroupsV2)
    assert _text(root / "supervisor/cgroup.procs") == str(os.getpid())
    assert _text(root / "cgroup.subtree_control") == "+cpu +memory +pids"


def test_version_1_is_found(machine: _Machine) -> None:
    machine.legacy("cpu,cpuacct", "memory", "pids", "devices")
    found, reason = detect("x")
    assert isinstance(found, CgroupsV1)
    assert reason == ""
    assert found.directories("c") == [
        str(machine.root / mount / "madang-x/c") for mount in ("cpu,cpuacct", "memory", "pids")
    ]


def test_version_1_is_taken_where_version_2_has_no_controllers(machine: _Machine) -> None:
    machine.unified("")
    machine.legacy("cpu,cpuacct", "memory", "pids")
    assert isinstance(detect("x")[0], CgroupsV1)


def test_a_missing_controller_is_named(machine: _Machine) -> None:
    root = machine.unified("cpu io")
    found, reason = detect("x")
    assert found is None
    assert reason == f"cgroup v2 offers no memory, pids controller in {root}"


def test_where_nothing_may_be_written_the_user_is_told_what_to_do(machine: _Machine) -> None:
    machine.read_only = machine.unified("cpu memory pids")
    found, reason = detect("x")
    assert found is None
    assert reason.startswith(f"cgroup v2 cannot be written in {machine.root} (Permission denied)")
    assert "systemd-run --user --scope -p Delegate=yes madang up" in reason


def test_where_version_1_may_not_be_written_the_user_is_told_what_to_do(machine: _Machine) -> None:
    machine.legacy("cpu,cpuacct", "memory", "pids")
    shutil.rmtree(machine.root / "memory")
    found, reason = detect("x")
    assert found is None
    assert f"cgroup v1 cannot be written in {machine.root / 'memory'}; start as root" in reason


def test_where_nothing_is_mounted_that_is_the_reason(machine: _Machine) -> None:
    assert detect("x") == (None, "cgroup v2 is not mounted")


def test_a_system_without_control_groups_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "isdir", lambda _: False)
    assert detect("x") == (None, "this system has no control groups")
