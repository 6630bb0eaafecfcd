"""What a runtime with walls promises: nothing of the host, the platform or another session is reached from inside."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.runtime.bench import PATIENCE, Bench

SYSCALL = """
import ctypes, errno, sys
libc = ctypes.CDLL(None, use_errno=True)
result = libc.syscall(*[int(word, 0) for word in sys.argv[1:]])
print(result, errno.errorcode.get(ctypes.get_errno(), 0))
"""
X86 = os.uname().machine == "x86_64"


@pytest.fixture(scope="module")
async def inside(walled: Bench) -> AsyncIterator[Bench]:
    """An agent with one container in which every test looks around."""
    spec = walled.shell("sleep 600", processes=64)
    await walled.start(spec)
    walled.room = spec
    yield walled
    await walled.agent.remove(spec.container_id, 1)


async def look(bench: Bench, script: str) -> str:
    """What a shell script prints inside; errors included."""
    result = await bench.exec(bench.the_room, "/bin/sh", "-c", f"exec 2>&1; {script}")
    return result.stdout


async def test_it_is_an_unprivileged_user_without_capabilities(inside: Bench) -> None:
    assert await look(inside, "id -un; id -u") == "work\n1000\n"
    for where in ("self", "1"):
        status = await look(inside, f"cat /proc/{where}/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(fields[kind], 16) == 0, f"{kind} of {where}"
        assert fields["NoNewPrivs"] == "1"
        assert fields["Seccomp"] == "2"


async def test_the_main_process_is_behind_the_same_walls(walled: Bench) -> None:
    result = await walled.run(walled.shell("grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status"))
    values = dict(line.split(":\t") for line in result.stdout.splitlines())
    assert {int(value, 16) for name, value in values.items() if name.startswith("Cap")} == {0}
    assert (values["NoNewPrivs"], values["Seccomp"]) == ("1", "2")


async def test_sandboxes_do_not_run_as_root_of_the_host(walled: Bench) -> None:
    spec = walled.shell("echo up; exec sleep 61.5")
    await walled.start(spec)
    await walled.says(spec, "up")
    async with asyncio.timeout(PATIENCE):
        while not (owners := _owners_of(b"sleep\x0061.5\x00")):  # noqa: ASYNC110 - the shell becomes it
            await asyncio.sleep(0.01)

    assert owners
    assert 0 not in owners


def _owners_of(command_line: bytes) -> set[int]:
    """Host users whose processes have this command line."""
    owners = set()
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it is no process, or has just ended
            if (process / "cmdline").read_bytes() == command_line:
                owners.add(process.stat().st_uid)
    return owners


async def test_the_system_is_read_only_and_the_work_directory_is_not(inside: Bench) -> None:
    for path in (
        "/x",
        "/usr/x",
        "/etc/x",
        "/bin/x",
        "/dev/x",
        "/home/x",
        "/opt",
        "/sys/x",
        "/proc/sys/kernel/hostname",
    ):
        assert "Read-only" in (said := await look(inside, f"echo x > {path}")) or "denied" in said, path
    assert await look(inside, "echo x > /home/work/x && echo x > /tmp/x && echo x > /dev/shm/x && cat x") == "x\n"


async def test_nothing_of_the_host_can_be_read(inside: Bench) -> None:
    secret = inside.data_dir / "secret"
    secret.write_text("secret")
    secret.chmod(0o644)
    for path in ("/etc/shadow", str(secret), "/root/.bashrc", "/var/lib/madang", "/proc/kcore", "/etc/hostname"):
        said = await look(inside, f"cat {path}; ls {path}")
        assert "No such file" in said or "denied" in said, path
    assert "root:x:0:0" in await look(inside, "cat /etc/passwd")
    assert len((await look(inside, "cat /etc/passwd")).splitlines()) == 3


async def test_roots_home_shows_nothing_but_the_interpreter(inside: Bench) -> None:
    allowed = {Path(line).parts[1:3] for line in (await look(inside, "readlink -f $(command -v python)")).splitlines()}
    listed = (await look(inside, "ls -A /root 2>/dev/null")).split()
    assert all(("root", name) in allowed for name in listed)


async def test_processes_of_the_host_are_not_seen(inside: Bench) -> None:
    pids = [int(name) for name in (await look(inside, "ls /proc")).split() if name.isdigit()]
    assert max(pids) < 1000
    assert "madang" not in await look(inside, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; echo")


async def test_another_sessions_files_cannot_be_reached(inside: Bench) -> None:
    other = inside.shell("echo private > note; sleep 60")
    await inside.start(other)
    for place in ("/home/work/note", f"{inside.data_dir}/agent/containers/{other.container_id}/work/note"):
        assert "private" not in await look(inside, f"cat {place}")
    assert "private" not in await look(inside, "cat /proc/*/root/home/work/note")


async def test_ports_of_the_host_and_of_other_sessions_are_closed(inside: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0madang-test-abstract")
        abstract.listen()
        port = server.getsockname()[1]
        other = inside.python(
            "import socket; s = socket.create_server(('127.0.0.1', 18765)); print('up', flush=True); s.accept()"
        )
        await inside.start(other)
        await inside.says(other, "up")
        for target in (port, 18765):
            probe = f"import socket; socket.create_connection(('127.0.0.1', {target}), 2)"
            assert "refused" in await look(inside, f'python -c "{probe}"')
        probe = "import socket; socket.socket(socket.AF_UNIX).connect(chr(0) + 'madang-test-abstract')"
        assert "refused" in await look(inside, f'python -c "{probe}"')


async def test_the_network_none_has_only_loopback(inside: Bench) -> None:
    assert {name.strip() for name in (await look(inside, "tail -n +3 /proc/net/dev | cut -d: -f1")).split()} == {"lo"}
    probe = "import socket; socket.create_connection(('192.0.2.1', 80), 2)"
    assert "unreachable" in await look(inside, f'python -c "{probe}"')


CALLS = {  # name: (number on x86_64, arguments)
    "mount": (165, "0 0 0 0 0"),
    "umount2": (166, "0 0"),
    "pivot_root": (155, "0 0"),
    "unshare user": (272, "0x10000000"),
    "unshare mount": (272, "0x20000"),
    "clone with a user namespace": (56, "0x10000011 0 0 0 0"),
    "setns": (308, "0 0"),
    "bpf": (321, "0 0 0"),
    "io_uring_setup": (425, "1 0"),
    "keyctl": (250, "0 0 0"),
    "add_key": (248, "0 0 0 0 0"),
    "request_key": (249, "0 0 0 0"),
    "perf_event_open": (298, "0 0 0 0 0"),
    "userfaultfd": (323, "0"),
    "init_module": (175, "0 0 0"),
    "kexec_load": (246, "0 0 0 0"),
    "reboot": (169, "0 0 0"),
    "settimeofday": (164, "0 0"),
    "open_by_handle_at": (304, "0 0 0"),
    "a typed character in a terminal (TIOCSTI)": (16, "0 0x5412 0"),
    "fsopen": (430, "0 0"),
    "ptrace of a host process": (101, "16 99999 0 0"),
}


@pytest.mark.skipif(not X86, reason="the numbers are those of x86_64")
@pytest.mark.parametrize("name", CALLS)
async def test_dangerous_system_calls_are_refused(inside: Bench, name: str) -> None:
    number, arguments = CALLS[name]
    said = await look(inside, f"python - {number} {arguments} <<'END'\n{SYSCALL}\nEND")
    assert said.split()[0] == "-1", said
    assert said.split()[1] in ("EPERM", "ESRCH"), said


@pytest.mark.skipif(not X86, reason="the numbers are those of x86_64")
async def test_unknown_calls_look_like_an_older_kernel(inside: Bench) -> None:
    for number in (435, 600, 0x40000000 + 39):  # clone3, a call of the future, the x32 ABI
        said = await look(inside, f"python - {number} 0 0 <<'END'\n{SYSCALL}\nEND")
        assert said.split() == ["-1", "ENOSYS"], said


async def test_raw_and_exotic_sockets_are_refused(inside: Bench) -> None:
    for family, kind in ((2, 3), (17, 3), (38, 5), (40, 1)):  # raw IPv4, packet, kernel crypto, vsock
        said = await look(inside, f'python -c "import socket; socket.socket({family}, {kind})"')
        assert "not permitted" in said or "not supported" in said, (family, said)


async def test_pid_one_is_out_of_reach(inside: Bench) -> None:
    await look(inside, "kill -9 1; kill -TERM 1; kill -INT 1")
    assert await look(inside, "echo still here") == "still here\n"


async def test_threads_and_processes_work(inside: Bench) -> None:
    code = (
        "import threading, multiprocessing as m;"
        "t = threading.Thread(target=print, args=('thread',)); t.start(); t.join();"
        "m.get_context('fork').Process(target=print, args=('process',)).start()"
    )
    assert (await look(inside, f'python -c "{code}"')).split() == ["thread", "process"]


async def test_links_in_the_work_directory_lead_nowhere(inside: Bench) -> None:
    await look(inside, "ln -s /etc/passwd abs; ln -s ../../../../../etc up; mkfifo pipe; ln -s /proc/self/root proc")
    spec = inside.the_room
    for path in ("abs", "up/shadow", "pipe", "proc/etc/passwd", "../../spec.json", "/etc/passwd"):
        with pytest.raises(Exception, match=r"link|no '|not a file|leaves|absolute") as caught:
            async with asyncio.timeout(5):
                await inside.agent.read_file(spec.container_id, path)
        assert type(caught.value).__module__ == "madang.domain.errors"


def test_the_filter_is_really_loaded_into_a_kernel() -> None:
    """PR_GET_SECCOMP of this very test process is 0: what the others saw comes from the sandbox."""
    assert ctypes.CDLL(None).prctl(21, 0, 0, 0, 0) == 0
