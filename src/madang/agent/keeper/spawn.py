"""Forking: how a sandbox, its main process and further processes come to be. Runs in the single-threaded keeper.

A container is held by bubblewrap with `--as-pid-1 sleep infinity`: that process is PID 1 of the sandbox, so signals
from inside cannot end it, and because it starts with SIGCHLD ignored the kernel reaps orphans for it. Its main
process, like every further one, is forked by the keeper and joins the sandbox's namespaces. So the keeper is the
parent of all of them and learns from the kernel how they end; bubblewrap's own monitor cannot tell `exit(137)` from
SIGKILL.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import termios
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from madang.agent.keeper.linux import Namespaces, drop_privileges, install_seccomp, network_namespaces, stage
from madang.agent.keeper.plan import Confinement, Network, Process, Sandbox

_OOM_SCORE: Final = "500"
"""Sandboxes die before the platform when the machine itself runs out of memory."""

_FILES: Final = 65_536


class SpawnError(Exception):
    """A process could not be started; the text says which step failed."""


def _reset_signals() -> None:
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _join(group: str) -> None:
    """Join a control group. Version 1 moves a single thread without the lock that makes cgroup.procs take 10-20 ms."""
    try:
        descriptor = os.open(f"{group}/tasks", os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        descriptor = os.open(f"{group}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    os.write(descriptor, b"0")
    os.close(descriptor)


def _confine(confinement: Confinement) -> None:
    """Join the cgroups, then become the sandbox's user, while we still may do the first."""
    for group in confinement["cgroups"]:
        _join(group)
    if confinement["cpus"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, confinement["cpus"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if sys.platform == "linux":
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write(_OOM_SCORE)
    os.umask(0o022)


def _become(confinement: Confinement) -> None:
    identity = confinement["identity"]
    if identity is not None:
        os.setgroups([])
        os.setresgid(identity["gid"], identity["gid"], identity["gid"])
        os.setresuid(identity["uid"], identity["uid"], identity["uid"])


def _fork(child: Callable[[], None]) -> int:
    """Fork; `child` must not return normally unless it is done. Its exceptions never reach the keeper's loop."""
    pid = os.fork()
    if pid == 0:
        try:
            child()
            os._exit(0)
        except BaseException:  # the forked child must end here, whatever happens
            os._exit(126)
    return pid


def _report_and_exit(pipe: int, step: str, error: BaseException) -> NoReturn:
    number = error.errno if isinstance(error, OSError) else None
    with contextlib.suppress(OSError):
        os.write(pipe, json.dumps({"step": step, "errno": number, "text": str(error)}).encode())
    os._exit(126)


def start_sandbox(sandbox: Sandbox, confinement: Confinement, seccomp: bytes) -> tuple[int, int]:
    """Start bubblewrap; returns its pid and a pipe on which it writes `{"child-pid": N}` or its complaint.

    The pipe ends when bubblewrap's monitor is gone.
    """
    status, status_writer = os.pipe()
    program = os.memfd_create("seccomp")
    os.write(program, seccomp)
    os.lseek(program, 0, os.SEEK_SET)

    def child() -> None:
        try:
            _reset_signals()
            os.setsid()
            _confine(confinement)
            # By descriptor: the sandbox's user may not be able to enter the directories that lead to them.
            bubblewrap = _inherited(sandbox["argv"][0], os.O_RDONLY)
            env = {}
            if sandbox["libraries"] is not None:
                env["LD_LIBRARY_PATH"] = f"/proc/self/fd/{_inherited(sandbox['libraries'], os.O_PATH)}"
            argv = _reachable(sandbox["argv"], staged=confinement["identity"] is not None)
            _become(confinement)
            # Inherited over exec: PID 1 of the sandbox never has to reap.
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(null, 1)
            os.dup2(status_writer, 2)
            for descriptor in (status_writer, program):
                os.set_inheritable(descriptor, True)
            numbers = {"{status}": str(status_writer), "{seccomp}": str(program)}
            os.execve(bubblewrap, [numbers.get(argument, argument) for argument in argv], env)
        except BaseException as error:
            _report_and_exit(status_writer, "starting bubblewrap", error)

    pid = _fork(child)
    os.close(status_writer)
    os.close(program)
    os.set_blocking(status, False)
    return pid, status


def _inherited(path: str, flags: int) -> int:
    descriptor = os.open(path, flags)
    os.set_inheritable(descriptor, True)
    return descriptor


def _reachable(argv: Sequence[str], *, staged: bool) -> list[str]:
    """The arguments with every `{host:PATH}` as a path that the sandbox's user can reach."""
    marked = [argument[6:-1] for argument in argv if argument.startswith("{host:") and argument.endswith("}")]
    paths = dict(zip(marked, stage(marked) if staged else marked, strict=True))
    return [paths.get(argument[6:-1], argument) if argument.startswith("{host:") else argument for argument in argv]


def start_network(network: Network, confinement: Confinement, sandbox_pid: int, ready: int | None) -> int:
    """Start the helper that connects a sandbox's network, as the sandbox's user; returns its pid."""

    def child() -> None:
        _reset_signals()
        os.setsid()
        net, owner = network_namespaces(sandbox_pid)
        pid_file = os.open(network["pid_file"], os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        if (identity := confinement["identity"]) is not None:
            os.fchown(pid_file, identity["uid"], identity["gid"])
        for descriptor in (net, owner, pid_file):
            os.set_inheritable(descriptor, True)
        opened = {"{netns}": net, "{userns}": owner, "{pid_file}": pid_file}
        argv = [argument.replace("{ready}", str(ready)) for argument in network["argv"]]
        for name, descriptor in opened.items():
            argv = [argument.replace(name, f"/proc/self/fd/{descriptor}") for argument in argv]
        log = os.open(network["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        _become(confinement)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        for standard in (1, 2):
            os.dup2(log, standard)
        if ready is not None:
            os.set_inheritable(ready, True)
        os.execve(argv[0], argv, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    return _fork(child)


def _exec(process: Process, descriptors: Sequence[int], pipe: int, terminal: bool) -> NoReturn:
    step = "starting the process"
    try:
        os.setsid()
        for standard, descriptor in enumerate(descriptors):
            os.dup2(descriptor, standard)
        if terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        step = "opening the working directory"
        os.chdir(process["cwd"])
        step = "starting the command"
        os.execvpe(process["argv"][0], process["argv"], process["env"])
    except BaseException as error:
        _report_and_exit(pipe, step, error)


def start_process(
    process: Process,
    confinement: Confinement,
    sandbox_pid: int | None,
    seccomp: bytes,
    descriptors: Sequence[int] | None,
    terminal: tuple[socket.socket, int, int] | None = None,
) -> tuple[int, int]:
    """Start a process inside the sandbox (or on the host when there is none).

    `descriptors` are its stdin, stdout and stderr; with `terminal` (a socket, rows, columns) a pseudo-terminal of the
    sandbox is made instead, whose master end is sent over the socket. Returns the pid on the host, whose parent is this
    process, and a pipe: its end means that the program runs, JSON on it says why it does not. Raises SpawnError.
    """
    namespaces = None
    if sandbox_pid is not None:
        try:
            namespaces = Namespaces(sandbox_pid)
        except OSError as error:
            raise SpawnError(f"the sandbox is gone ({error.strerror})") from None
    errors, errors_writer = os.pipe()
    pids, pids_writer = os.pipe()

    def middle() -> None:
        step = "applying limits"
        try:
            _reset_signals()
            _confine(confinement)
            _become(confinement)
            step = "entering the sandbox"
            if namespaces is not None:
                namespaces.enter()
                drop_privileges()
            opened = descriptors if terminal is None else _open_terminal(*terminal)
            if namespaces is not None:
                install_seccomp(seccomp)
        except BaseException as error:
            _report_and_exit(errors_writer, step, error)
        pid = os.fork()  # the child is in the sandbox's PID namespace and will be adopted by the keeper
        if pid == 0:
            _exec(process, opened or (), errors_writer, terminal is not None)
        os.write(pids_writer, struct.pack("i", pid))
        os._exit(0)

    middle_pid = _fork(middle)
    os.close(errors_writer)
    os.close(pids_writer)
    if namespaces is not None:
        namespaces.close()
    try:
        answer = os.read(pids, 4)
        os.waitpid(middle_pid, 0)
        if len(answer) == 4:
            os.set_blocking(errors, False)
            return int(struct.unpack("i", answer)[0]), errors
        select.select([errors], [], [], 1)
        failure = describe_failure(os.read(errors, 4096), process)
        os.close(errors)
        raise SpawnError(failure)
    finally:
        os.close(pids)


def _open_terminal(master_to: socket.socket, rows: int, columns: int) -> tuple[int, int, int]:
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    socket.send_fds(master_to, [b"t"], [master])
    os.close(master)
    return slave, slave, slave


def describe_failure(report: bytes, process: Process) -> str:
    """One sentence for people from what a forked child wrote on its error pipe."""
    try:
        failure = json.loads(report)
        step, number, text = str(failure["step"]), failure["errno"], str(failure["text"])
    except (ValueError, KeyError, TypeError):
        return f"the process ended before it ran ({report.decode(errors='replace')[:500]})"
    command = process["argv"][0]
    if step == "starting the command":
        if number == 2:
            return f"'{command}' was not found in the environment"
        if number in (8, 13):
            return f"'{command}' is not an executable program ({os.strerror(number)})"
        if number == 7:
            return "the command line and environment variables are too long"
    if step == "opening the working directory":
        return f"the working directory '{process['cwd']}' cannot be entered ({text})"
    return f"{step}: {text}"
