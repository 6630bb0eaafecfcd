"""The default system call filter: a classic BPF program that refuses what no session needs.

Refused with EPERM: mounting, namespaces, kernel modules and kexec, bpf, perf, io_uring, userfaultfd, key rings, clocks,
swap, quotas, handles. Refused with ENOSYS: clone3 (its flags cannot be seen by a filter; the C library then uses
clone), other ABIs of the machine, and every call newer than this list. Sockets: only UNIX, IPv4, IPv6 and netlink.
Numbers are from Linux's arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import errno
import platform
import socket
import struct
from dataclasses import dataclass
from typing import Final

_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND: Final = 0x54  # BPF_ALU | BPF_AND | BPF_K
_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_GREATER_EQUAL: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN: Final = 0x06
_NUMBER: Final = 0  # offsets in struct seccomp_data
_ARCH: Final = 4
_ARGUMENTS: Final = 16

_NAMESPACE_FLAGS: Final = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_TIME_NAMESPACE: Final = 0x80
_TIOCSTI: Final = 0x5412
_TIOCLINUX: Final = 0x541C
_FAMILIES: Final = (int(socket.AF_UNIX), int(socket.AF_INET), int(socket.AF_INET6), 16)  # 16: AF_NETLINK
_NEWEST: Final = 471
"""Calls from this number on are newer than the list: rseq_slice_yield and what follows."""

REFUSED: Final[dict[str, tuple[int | None, int | None]]] = {
    # name: (x86_64, aarch64)
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "create_module": (174, None),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "get_kernel_syms": (177, None),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "query_module": (178, None),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "_sysctl": (156, None),
    "sysfs": (139, None),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "ustat": (136, None),
    "vhangup": (153, 58),
}


@dataclass(frozen=True, slots=True)
class _Machine:
    audit: int  # AUDIT_ARCH_*
    column: int  # in REFUSED
    clone: int
    clone3: int
    unshare: int
    ioctl: int
    socket: int


_MACHINES: Final = {
    "x86_64": _Machine(0xC000003E, 0, 56, 435, 272, 16, 41),
    "aarch64": _Machine(0xC00000B7, 1, 220, 435, 97, 29, 198),
}


def _instruction(code: int, value: int, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, when_true, when_false, value)


def _load(offset: int) -> bytes:
    return _instruction(_LOAD, offset)


def _refuse(number: int) -> bytes:
    return _instruction(_RETURN, _ERRNO | number)


def _when_call(number: int, body: bytes) -> bytes:
    """Run `body`, which ends by returning, for one call; the number is in the accumulator before and after."""
    return _instruction(_EQUAL, number, 0, len(body) // 8) + body


def _flags_refused(argument: int, mask: int) -> bytes:
    """Refuse when any bit of `mask` is set in an argument's lower half, else allow."""
    return (
        _load(_ARGUMENTS + 8 * argument)
        + _instruction(_AND, mask)
        + _instruction(_EQUAL, 0, 0, 1)
        + _instruction(_RETURN, _ALLOW)
        + _refuse(errno.EPERM)
    )


def _values_refused(argument: int, values: tuple[int, ...]) -> bytes:
    body = _load(_ARGUMENTS + 8 * argument)
    for value in values:
        body += _instruction(_EQUAL, value, 0, 1) + _refuse(errno.EPERM)
    return body + _instruction(_RETURN, _ALLOW)


def _values_allowed(argument: int, values: tuple[int, ...], otherwise: int) -> bytes:
    body = _load(_ARGUMENTS + 8 * argument)
    for value in values:
        body += _instruction(_EQUAL, value, 0, 1) + _instruction(_RETURN, _ALLOW)
    return body + _refuse(otherwise)


def supported(machine: str | None = None) -> bool:
    """Whether there is a filter for this machine."""
    return (machine or platform.machine()) in _MACHINES


def default_filter(machine: str | None = None) -> bytes:
    """The program for a machine (as `uname -m`), 8 bytes an instruction. Raises KeyError for an unknown machine."""
    this = _MACHINES[machine or platform.machine()]
    program = _load(_ARCH) + _instruction(_EQUAL, this.audit, 1, 0) + _refuse(errno.ENOSYS) + _load(_NUMBER)
    # Newer calls, and those of the x32 ABI whose numbers carry a high bit.
    program += _instruction(_GREATER_EQUAL, _NEWEST, 0, 1) + _refuse(errno.ENOSYS)
    program += _when_call(this.clone3, _refuse(errno.ENOSYS))
    program += _when_call(this.clone, _flags_refused(0, _NAMESPACE_FLAGS))
    program += _when_call(this.unshare, _flags_refused(0, _NAMESPACE_FLAGS | _TIME_NAMESPACE))
    program += _when_call(this.ioctl, _values_refused(1, (_TIOCSTI, _TIOCLINUX)))
    program += _when_call(this.socket, _values_allowed(0, _FAMILIES, errno.EAFNOSUPPORT))
    for numbers in REFUSED.values():
        number = numbers[this.column]
        if number is not None:
            program += _when_call(number, _refuse(errno.EPERM))
    return program + _instruction(_RETURN, _ALLOW)
