"""The few Linux system calls that Python 3.11 does not offer, through ctypes; harmless to import elsewhere."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import stat
import struct
import sys
from typing import Final

NAMESPACES: Final = {
    "mnt": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
_NEWUSER: Final = 0x10000000
_NS_GET_USERNS: Final = 0xB701

_PR_SET_DUMPABLE: Final = 4
_PR_CAPBSET_DROP: Final = 24
_PR_SET_SECCOMP: Final = 22
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_SECCOMP_MODE_FILTER: Final = 2
_CAPABILITY_VERSION_3: Final = 0x20080522
_LAST_CAPABILITY: Final = 63

_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_BIND: Final = 4096
_MS_REC: Final = 16384
_MS_PRIVATE: Final = 1 << 18
_STAGE: Final = "/mnt"

_libc: Final = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _prctl(option: int, *values: int) -> int:
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    return int(_libc.prctl(ctypes.c_int(option), *padded))


def become_subreaper() -> None:
    """Make this process the parent of orphaned descendants, so that it learns how they end."""
    if sys.platform == "linux":
        _check(_prctl(_PR_SET_CHILD_SUBREAPER, 1), "becoming subreaper")


class Namespaces:
    """Descriptors of all namespaces of a process, opened while the caller still may."""

    def __init__(self, pid: int) -> None:
        base = f"/proc/{pid}/ns"
        self._kinds = {kind: os.open(f"{base}/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in NAMESPACES}
        self._user = os.open(f"{base}/user", os.O_RDONLY | os.O_CLOEXEC)

    def enter(self) -> None:
        """Join them all; a later fork is in the PID namespace. Needs a single thread.

        bubblewrap nests two user namespaces: the outer one owns the mounts, the inner one maps the user. Only somebody
        with capabilities in the owner may join the others, so the owner comes first and the inner one last.
        """
        owner = fcntl.ioctl(self._kinds["mnt"], _NS_GET_USERNS)
        if not os.path.sameopenfile(owner, os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)):
            _check(_libc.setns(owner, _NEWUSER), "joining the owner of the sandbox")
        for kind, flag in NAMESPACES.items():
            _check(_libc.setns(self._kinds[kind], flag), f"joining the sandbox's {kind} namespace")
        if not os.path.sameopenfile(owner, self._user):
            _check(_libc.setns(self._user, _NEWUSER), "joining the sandbox's user namespace")

    def close(self) -> None:
        """Close the descriptors."""
        for descriptor in (*self._kinds.values(), self._user):
            os.close(descriptor)


def network_namespaces(pid: int) -> tuple[int, int]:
    """Descriptors of a process's network namespace and of the user namespace that owns it."""
    net = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    return net, fcntl.ioctl(net, _NS_GET_USERNS)


def stage(paths: list[str]) -> list[str]:
    """Show files and directories at places that every user can reach, in a mount namespace of this process's own.

    Needs root. Returns the places, in the order of `paths`.
    """
    _check(_libc.unshare(NAMESPACES["mnt"]), "making a mount namespace")
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    opened = [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths]  # before the stage hides what lies under it
    _mount("madang", _STAGE, "tmpfs", _MS_NOSUID | _MS_NODEV)
    places = []
    for descriptor in opened:
        place = f"{_STAGE}/{descriptor}"
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.mkdir(place, 0o755)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        _mount(f"/proc/self/fd/{descriptor}", place, None, _MS_BIND | _MS_REC)
        places.append(place)
    os.chmod(_STAGE, 0o755)  # noqa: S103 - the sandbox's user has to pass through
    return places


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    encoded = kind.encode() if kind is not None else None
    result = _libc.mount(source.encode(), target.encode(), encoded, ctypes.c_ulong(flags), None)
    _check(result, f"mounting {target}")


def drop_privileges() -> None:
    """Give up every capability for good and forbid gaining any by executing a file.

    Until it executes its program, nobody in the sandbox may look into this process: it still is a copy of the keeper.
    """
    _prctl(_PR_SET_DUMPABLE, 0)
    for capability in range(_LAST_CAPABILITY + 1):
        if _prctl(_PR_CAPBSET_DROP, capability) != 0:
            break  # beyond the kernel's last capability
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, bytes(24)), "dropping capabilities")
    _check(_prctl(_PR_SET_NO_NEW_PRIVS, 1), "setting no_new_privs")


def install_seccomp(program: bytes) -> None:
    """Install a classic BPF program (8 bytes an instruction) as this thread's system call filter."""
    code = ctypes.create_string_buffer(program, len(program))
    filter_program = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    holder = ctypes.create_string_buffer(filter_program, len(filter_program))
    _check(_prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(holder)), "installing the seccomp filter")


def process_start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with the pid it names a process for ever."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rsplit(b")", 1)[1].split()[19])
    except (OSError, IndexError):
        return None


def kill_quietly(pid: int, number: int = signal.SIGKILL, *, group: bool = False) -> None:
    """Send a signal to a process or process group that may be gone already."""
    try:
        (os.killpg if group else os.kill)(pid, number)
    except (ProcessLookupError, PermissionError):
        return
