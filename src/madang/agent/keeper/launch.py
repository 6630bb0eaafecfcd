"""The steps of a launch in the keeper, each begun by the end of the one before: sandbox, network, main process."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from typing import Final

from madang.agent.keeper.container import Container
from madang.agent.keeper.linux import kill_quietly
from madang.agent.keeper.plan import ContainerPlan, Network, Process
from madang.agent.keeper.spawn import SpawnError, describe_failure, start_network, start_process, start_sandbox

READY: Final = b"madang-sandbox-ready"
"""What PID 1 of a sandbox prints when the sandbox stands."""


def _complaint(network: Network) -> str:
    """The last that a network helper said."""
    try:
        with open(network["log"], errors="replace") as file:
            return file.read().strip()[-500:] or f"{network['argv'][0]} ended"
    except OSError:
        return f"{network['argv'][0]} ended"


class Launcher:
    """Drives launches by callbacks; `register(fd, action)` and `forget(fd)` belong to the keeper's loop."""

    def __init__(
        self,
        register: Callable[[int, Callable[[], None]], None],
        forget: Callable[[int], None],
        started: Callable[[Container], None],
        failed: Callable[[Container, str], None],
    ) -> None:
        self._register = register
        self._forget = forget
        self._started = started
        self._failed = failed
        self._checks: dict[str, Callable[[], None]] = {}
        self._programs: dict[str, bytes] = {}

    def seccomp(self, plan: ContainerPlan) -> bytes:
        """The container's system call filter."""
        path = plan["confinement"]["seccomp"]
        if path is None:
            return b""
        if path not in self._programs:
            with open(path, "rb") as file:
                self._programs[path] = file.read()
        return self._programs[path]

    @staticmethod
    def explain(report: bytes, process: Process) -> str:
        """One sentence from what a forked child wrote on its error pipe."""
        return describe_failure(report, process)

    def begin(self, container: Container) -> None:
        """Start the first step. Raises SpawnError or OSError."""
        sandbox = container.plan["sandbox"]
        if sandbox is None:
            self._start_main(container)
            return
        confinement = container.plan["confinement"]
        container.monitor_pid, status = start_sandbox(sandbox, confinement, self.seccomp(container.plan))
        received = bytearray()

        def read() -> None:
            try:
                data = os.read(status, 4096)
            except BlockingIOError:
                return
            received.extend(data)
            if data and READY not in received and b"bwrap: " not in received:
                return
            self._forget(status)
            if container.phase != "starting":
                return
            if READY not in received:
                complaint = received.decode(errors="replace").strip()
                self._failed(container, f"the sandbox could not be made: {complaint or 'bubblewrap ended'}")
                return
            self._sandbox_stands(container, bytes(received))

        self._register(status, read)

    def _sandbox_stands(self, container: Container, report: bytes) -> None:
        container.sandbox_pid = int(json.loads(report[: report.index(b"\n")])["child-pid"])
        kill_quietly(container.monitor_pid)  # its work is done; PID 1 of the sandbox becomes our own child
        try:
            if container.plan["network"] is None:
                self._start_main(container)
            else:
                self._start_network(container)
        except (SpawnError, OSError) as error:
            self._failed(container, str(error))

    def _start_network(self, container: Container) -> None:
        network = container.plan["network"]
        if network is None:
            return
        reader, writer = os.pipe()
        ready = None if network["daemonises"] else writer
        container.helper_pid = start_network(network, container.plan["confinement"], container.sandbox_pid, ready)
        os.close(writer)
        if network["daemonises"]:
            os.close(reader)
            return

        def read() -> None:
            told = os.read(reader, 16)
            self._forget(reader)
            if told and container.phase == "starting":
                self._network_stands(container)

        self._register(reader, read)

    def _network_stands(self, container: Container) -> None:
        try:
            self._start_main(container)
        except (SpawnError, OSError) as error:
            self._failed(container, str(error))

    def part_ended(self, container: Container, pid: int, status: int) -> None:
        """A process that serves the container has ended: its monitor, its PID 1 or its network helper."""
        if pid == container.monitor_pid:
            container.monitor_pid = 0
        elif pid == container.sandbox_pid:
            container.sandbox_pid = 0
            if container.phase == "starting":
                self._failed(container, "the sandbox ended before the command was started")
        elif pid == container.helper_pid:
            container.helper_pid = 0
            network = container.plan["network"]
            if container.phase != "starting" or network is None:
                return
            if status != 0 or not network["daemonises"]:
                self._failed(container, f"the network could not be connected: {_complaint(network)}")
                return
            with contextlib.suppress(OSError, ValueError), open(network["pid_file"]) as file:
                container.helper_pid = int(file.read())
            self._network_stands(container)

    def _start_main(self, container: Container) -> None:
        plan = container.plan
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            descriptors = (null, container.outputs[0].writer, container.outputs[1].writer)
            sandbox = container.sandbox_pid or None
            seccomp = self.seccomp(plan)
            container.main_pid, errors = start_process(
                plan["process"], plan["confinement"], sandbox, seccomp, descriptors
            )
        finally:
            os.close(null)

        def check() -> None:
            try:
                report = os.read(errors, 4096)
            except BlockingIOError:
                return
            self._checks.pop(container.name, None)
            self._forget(errors)
            if report:
                self._failed(container, describe_failure(report, plan["process"]))
            else:
                self._started(container)

        self._checks[container.name] = check
        self._register(errors, check)

    def settle(self, container: Container) -> None:
        """The main process has ended: learn first whether it had been started at all."""
        check = self._checks.get(container.name)
        if check is not None:
            check()
