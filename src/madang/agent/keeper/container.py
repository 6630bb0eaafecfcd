"""One container in the keeper: from its plan to its exit record."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import time
from typing import Final, Literal

from madang.agent.keeper.linux import kill_quietly, process_start_time
from madang.agent.keeper.plan import ContainerPlan, ContainerRecord, ExitRecord
from madang.agent.outputlog import STREAMS, OutputWriter

STATE_FILE: Final = "state.json"
EXIT_FILE: Final = "exit.json"
CHUNK: Final = 1 << 16
RATE: Final = 128 << 20
"""Most output taken of one container, in bytes a second: a flood waits in its own pipe and harms no neighbour."""


def write_whole(path: str, content: object, *, durable: bool = True) -> None:
    """Replace a JSON file so that it is the old or the new one, whole; `durable`: also after a loss of power."""
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", closefd=False) as file:
            json.dump(content, file)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)


def read_json(path: str) -> object | None:
    """The content of a JSON file; None when it is missing or torn."""
    try:
        with open(path) as file:
            content: object = json.load(file)
            return content
    except (OSError, ValueError):
        return None


def oom_kills(path: str | None) -> int:
    """How many processes of a control group the kernel has killed for lack of memory."""
    if path is None:
        return 0
    try:
        with open(path) as file:
            for line in file:
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    except (OSError, ValueError):
        return 0
    return 0


class Output:
    """One of a container's two output pipes, with the rate at which it may be read."""

    def __init__(self, stream: Literal["stdout", "stderr"]) -> None:
        self.stream = STREAMS[stream]
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self._allowance = float(RATE)
        self._refilled = time.monotonic()

    def read(self) -> bytes | None:
        """What is there now: None when nothing, empty at the end."""
        try:
            data = os.read(self.reader, CHUNK)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EIO:
                return b""
            raise
        self._allowance -= len(data)
        return data

    def pause(self) -> float:
        """Seconds until this pipe may be read again; zero when it may be now."""
        now = time.monotonic()
        self._allowance = min(self._allowance + (now - self._refilled) * RATE, RATE)
        self._refilled = now
        return max(-self._allowance / RATE + 0.01, 0.0) if self._allowance < 0 else 0.0

    def close_writer(self) -> None:
        """Let go of the end that the container writes to, so that its end can be seen."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1


class Container:
    """The keeper's knowledge of one container. Phases: starting, running, draining (ended, output not yet), ended."""

    def __init__(self, plan: ContainerPlan) -> None:
        self.plan = plan
        self.name = plan["container"]
        self.epoch = plan["epoch"]
        self.phase: Literal["starting", "running", "draining", "ended"] = "starting"
        self.sandbox_pid = 0
        self.monitor_pid = 0
        self.helper_pid = 0
        self.main_pid = 0
        self.started_at = 0.0
        self.status: int | None = None  # wait status of the main process
        self.stopped = False  # the platform was asked to stop it
        self.kill_at: float | None = None  # monotonic time of the grace period's end
        self.outputs: list[Output] = []
        self.log: OutputWriter | None = None
        self.exit: ExitRecord | None = None
        self.record: ContainerRecord = {
            "container": self.name,
            "epoch": self.epoch,
            "keeper": os.getpid(),
            "started_at": 0.0,
            "sandbox_pid": 0,
            "sandbox_born": 0,
            "main_pid": 0,
            "main_born": 0,
        }

    def path(self, name: str) -> str:
        """A file in the container's directory."""
        return f"{self.plan['directory']}/{name}"

    def save(self) -> None:
        """Write state.json. Before the sandbox is forked this is what makes a launch happen at most once."""
        self.record["started_at"] = self.started_at
        self.record["sandbox_pid"] = self.sandbox_pid
        self.record["sandbox_born"] = (process_start_time(self.sandbox_pid) or 0) if self.sandbox_pid else 0
        self.record["main_pid"] = self.main_pid
        self.record["main_born"] = (process_start_time(self.main_pid) or 0) if self.main_pid else 0
        # Process ids mean nothing after a loss of power; that a launch was begun does.
        write_whole(self.path(STATE_FILE), self.record, durable=not self.main_pid)

    def open_output(self) -> None:
        """Make the output pipes and the log."""
        directory = self.path("log")
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self.log = OutputWriter(directory, self.plan["log_bytes"])
        self.outputs = [Output("stdout"), Output("stderr")]

    def kill(self) -> None:
        """End every process of the container: with PID 1 the kernel ends its whole PID namespace."""
        if self.main_pid and self.status is None:
            kill_quietly(self.main_pid, signal.SIGKILL, group=True)
        for pid in (self.sandbox_pid, self.monitor_pid, self.helper_pid):
            if pid:
                kill_quietly(pid)
        if self.plan["sandbox"] is None:
            self._kill_unwalled()

    def _kill_unwalled(self) -> None:
        """Without walls, processes may have left the process group: find them by control group and by marker."""
        for _ in range(100):
            members = [pid for pid in self._members() if pid != os.getpid()]
            if not members:
                return
            for pid in members:
                kill_quietly(pid)

    def _members(self) -> list[int]:
        members: set[int] = set()
        for group in self.plan["confinement"]["cgroups"]:
            with contextlib.suppress(OSError, ValueError), open(f"{group}/cgroup.procs") as file:
                members.update(int(line) for line in file)
        marker = self.plan["marker"].encode()
        if not marker or not os.path.isdir("/proc/self"):
            return list(members)
        for name in os.listdir("/proc"):
            if name.isdigit():
                # Processes of others and those that just ended cannot be read, and are not ours.
                with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                    if marker in file.read().split(b"\0"):
                        members.add(int(name))
        return [pid for pid in members if _alive(pid)]

    def finish(self, reason: str, message: str, code: int | None = None, number: int | None = None) -> ExitRecord:
        """Close everything and make the exit record; the container is ended for good."""
        self.phase = "ended"
        if self.log is not None:
            self.log.close()
            self.log = None
        record: ExitRecord = {
            "container": self.name,
            "epoch": self.epoch,
            "reason": reason,
            "code": code,
            "signal": number,
            "message": message,
            "started_at": self.started_at,
            "ended_at": time.time(),
        }
        self.exit = record
        return record

    def save_exit(self) -> bool:
        """Write exit.json; False when the disk is full, to be tried again later."""
        try:
            write_whole(self.path(EXIT_FILE), self.exit)
        except FileNotFoundError:
            return True  # the container was removed meanwhile: nobody asks any more
        except OSError:
            return False
        return True

    def ending(self) -> tuple[str, str, int | None, int | None]:
        """Reason, message, code and signal of the main process's end, from its wait status."""
        status = self.status or 0
        killed = oom_kills(self.plan["oom_file"])
        code = None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        if killed and (number == signal.SIGKILL or code == 128 + signal.SIGKILL):
            message = "killed by the kernel: it used more memory than its limit"
            return "oom", message, None, int(signal.SIGKILL)
        if self.stopped:
            return "stopped", "stopped on request", code, number
        if number is not None:
            return "signal", f"killed by signal {number} ({_signal_name(number)})", None, number
        note = f"; the kernel killed {killed} of its processes for lack of memory" if killed else ""
        return "exited", f"ended with exit code {code}{note}", code, None


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rsplit(b")", 1)[1].split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
        return False


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
