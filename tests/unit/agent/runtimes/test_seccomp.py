"""The system call filter, evaluated as the kernel would: what programs need passes, what opens the host does not."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madang.agent.runtimes.seccomp import REFUSED, default_filter, supported

ALLOW = "allow"
MACHINES = ("x86_64", "aarch64")
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
NEWEST = 471

# From the kernel's tables, by hand and independently of the filter's own.
ALLOWED = {
    "x86_64": {
        "read": 0, "write": 1, "mmap": 9, "ptrace": 101, "getpid": 39, "fork": 57, "vfork": 58, "execve": 59,
        "exit": 60, "kill": 62, "rename": 82, "chroot": 161, "futex": 202, "sched_setaffinity": 203,
        "epoll_wait": 232, "openat": 257, "name_to_handle_at": 303, "seccomp": 317, "getrandom": 318,
        "memfd_create": 319, "statx": 332, "rseq": 334, "pidfd_open": 434, "openat2": 437,
        "landlock_restrict_self": 446,
    },
    "aarch64": {
        "read": 63, "write": 64, "mmap": 222, "ptrace": 117, "getpid": 172, "execve": 221, "exit": 93, "kill": 129,
        "renameat": 38, "chroot": 51, "futex": 98, "sched_setaffinity": 122, "openat": 56, "name_to_handle_at": 264,
        "seccomp": 277, "getrandom": 278, "memfd_create": 279, "statx": 291, "rseq": 293, "pidfd_open": 434,
        "openat2": 437, "landlock_restrict_self": 446,
    },
}  # fmt: skip
DANGEROUS = {
    "x86_64": {
        "mount": 165, "umount2": 166, "pivot_root": 155, "setns": 308, "bpf": 321, "init_module": 175,
        "finit_module": 313, "kexec_load": 246, "keyctl": 250, "perf_event_open": 298, "userfaultfd": 323,
        "io_uring_setup": 425, "open_by_handle_at": 304, "reboot": 169, "fsopen": 430, "open_tree": 428,
        "move_mount": 429, "mount_setattr": 442, "clock_settime": 227, "swapon": 167, "iopl": 172,
    },
    "aarch64": {
        "mount": 40, "umount2": 39, "pivot_root": 41, "setns": 268, "bpf": 280, "init_module": 105,
        "finit_module": 273, "kexec_load": 104, "keyctl": 219, "perf_event_open": 241, "userfaultfd": 282,
        "io_uring_setup": 425, "open_by_handle_at": 265, "reboot": 142, "fsopen": 430, "open_tree": 428,
        "move_mount": 429, "mount_setattr": 442, "clock_settime": 112, "swapon": 224,
    },
}  # fmt: skip
CLONE = {"x86_64": 56, "aarch64": 220}
UNSHARE = {"x86_64": 272, "aarch64": 97}
IOCTL = {"x86_64": 16, "aarch64": 29}
SOCKET = {"x86_64": 41, "aarch64": 198}
CLONE3 = 435
NAMESPACES = {
    "mount": 0x00020000, "cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000, "user": 0x10000000,
    "pid": 0x20000000, "net": 0x40000000,
}  # fmt: skip
THREAD = 0x003D0F00  # what the C library clones a thread with
FORK = 0x01200011


def _evaluate(program: bytes, machine: str, number: int, *arguments: int, audit: int | None = None) -> str:
    """`allow`, or the name of the error the call ends with. Strict: an instruction unknown here fails the test."""
    padded = [argument & 0xFFFFFFFFFFFFFFFF for argument in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, AUDIT[machine] if audit is None else audit, 0x1000, *padded)
    code = list(struct.iter_unpack("<HBBI", program))
    accumulator, at = 0, 0
    while True:
        operation, when_true, when_false, value = code[at]
        at += 1
        if operation == 0x20:
            assert value % 4 == 0
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x15:
            at += when_true if accumulator == value else when_false
        elif operation == 0x35:
            at += when_true if accumulator >= value else when_false
        elif operation == 0x06:
            if value == 0x7FFF0000:
                return ALLOW
            assert value >> 16 == 0x0005, f"returns {value:#x}"
            return errno.errorcode[value & 0xFFFF]
        else:
            raise AssertionError(f"operation {operation:#x}")


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _result(machine: str, number: int, *arguments: int, audit: int | None = None) -> str:
    return _evaluate(default_filter(machine), machine, number, *arguments, audit=audit)


def test_the_kernel_would_take_the_program(machine: str) -> None:
    program = default_filter(machine)
    assert len(program) % 8 == 0
    code = list(struct.iter_unpack("<HBBI", program))
    assert 0 < len(code) <= 4096
    assert code[-1][0] == 0x06
    for place, (operation, when_true, when_false, value) in enumerate(code):
        if operation & 0x07 == 0x05:  # every jump stays inside
            assert place + 1 + max(when_true, when_false) < len(code)
        elif operation == 0x20:
            assert value < 64


def test_what_programs_need_is_allowed(machine: str) -> None:
    assert {name: _result(machine, number) for name, number in ALLOWED[machine].items()} == dict.fromkeys(
        ALLOWED[machine], ALLOW
    )


def test_what_opens_the_host_is_refused(machine: str) -> None:
    assert {name: _result(machine, number) for name, number in DANGEROUS[machine].items()} == dict.fromkeys(
        DANGEROUS[machine], "EPERM"
    )


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_every_call_of_the_list_is_refused_whatever_its_arguments(machine: str, name: str) -> None:
    number = REFUSED[name][MACHINES.index(machine)]
    if number is None:
        assert machine != "x86_64"  # calls that only the older machine ever had
        return
    assert _result(machine, number) == "EPERM"
    assert _result(machine, number, 2**64 - 1, 2**64 - 1, 2**64 - 1) == "EPERM"


def test_no_number_is_in_the_list_twice() -> None:
    for column in (0, 1):
        numbers = [numbers[column] for numbers in REFUSED.values() if numbers[column] is not None]
        assert len(numbers) == len(set(numbers))


def test_processes_and_threads_can_be_made(machine: str) -> None:
    assert _result(machine, CLONE[machine], FORK) == ALLOW
    assert _result(machine, CLONE[machine], THREAD) == ALLOW
    assert _result(machine, CLONE[machine], 0x4111) == ALLOW  # vfork
    assert _result(machine, UNSHARE[machine], 0x400) == ALLOW  # its own file descriptors
    assert _result(machine, CLONE3) == "ENOSYS"  # the C library then uses clone


@pytest.mark.parametrize("name", sorted(NAMESPACES))
def test_no_namespace_can_be_made(machine: str, name: str) -> None:
    flag = NAMESPACES[name]
    for call in (CLONE[machine], UNSHARE[machine]):
        assert _result(machine, call, flag) == "EPERM"
        assert _result(machine, call, flag | FORK) == "EPERM"
        assert _result(machine, call, flag | 0xFFFFFFFF00000000) == "EPERM"


def test_no_time_namespace_can_be_made(machine: str) -> None:
    assert _result(machine, UNSHARE[machine], 0x80) == "EPERM"


@given(st.integers(0, 2**64 - 1))
def test_whatever_the_flags_a_namespace_is_refused_and_nothing_else(flags: int) -> None:
    for machine in MACHINES:
        wanted = "EPERM" if any(flags & flag for flag in NAMESPACES.values()) else ALLOW
        assert _result(machine, CLONE[machine], flags) == wanted


def test_nobody_types_into_a_terminal_for_another(machine: str) -> None:
    for request in (0x5412, 0x541C):
        assert _result(machine, IOCTL[machine], 0, request) == "EPERM"
        assert _result(machine, IOCTL[machine], 0, request | 1 << 32) == "EPERM"  # the kernel reads the lower half
    for request in (0x5401, 0x5413, 0x541B):
        assert _result(machine, IOCTL[machine], 0, request) == ALLOW
    assert _result(machine, IOCTL[machine], 0x5412, 0x5401) == ALLOW  # a descriptor of that number


@pytest.mark.parametrize(
    ("family", "result"),
    [
        (1, ALLOW),  # UNIX
        (2, ALLOW),  # IPv4
        (10, ALLOW),  # IPv6
        (16, ALLOW),  # netlink
        (0, "EAFNOSUPPORT"),
        (17, "EAFNOSUPPORT"),  # packet
        (38, "EAFNOSUPPORT"),  # alg
        (40, "EAFNOSUPPORT"),  # vsock: past all network namespaces
        (44, "EAFNOSUPPORT"),  # xdp
        (2**32 - 1, "EAFNOSUPPORT"),
    ],
)
def test_only_sockets_that_stay_in_the_network_namespace(machine: str, family: int, result: str) -> None:
    assert _result(machine, SOCKET[machine], family) == result


@pytest.mark.parametrize("number", [NEWEST, 500, 1000, 0x40000000, 0x40000000 + 165, 0x7FFFFFFF, -1])
def test_calls_nobody_knows_do_not_exist(machine: str, number: int) -> None:
    assert _result(machine, number) == "ENOSYS"


@given(st.integers(NEWEST, 2**32 - 1))
def test_no_number_behind_the_list_is_let_through(number: int) -> None:
    assert {_result(machine, number) for machine in MACHINES} == {"ENOSYS"}


@pytest.mark.parametrize("audit", [0x40000003, 0x40000028, 0x00000003, 0, 0xFFFFFFFF])
def test_calls_of_another_abi_do_not_exist(machine: str, audit: int) -> None:
    for number in range(0, NEWEST, 7):
        assert _result(machine, number, audit=audit) == "ENOSYS"


def test_the_other_machine_is_another_abi() -> None:
    assert _result("x86_64", 0, audit=AUDIT["aarch64"]) == "ENOSYS"
    assert _result("aarch64", 63, audit=AUDIT["x86_64"]) == "ENOSYS"


def test_exactly_what_the_list_names_is_refused(machine: str) -> None:
    column = MACHINES.index(machine)
    listed = {numbers[column] for numbers in REFUSED.values()}
    refused = {number for number in range(NEWEST) if _result(machine, number) == "EPERM"}
    assert refused == listed - {None}


def test_machines_without_a_filter_are_known() -> None:
    assert supported("x86_64")
    assert supported("aarch64")
    assert not supported("riscv64")
    with pytest.raises(KeyError):
        default_filter("riscv64")
