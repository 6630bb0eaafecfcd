"""The keeper's loop: starts containers, takes their output, learns how they end, and tells the agent."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import os
import selectors
import signal
import socket
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from madang.agent.keeper.client import Connection
from madang.agent.keeper.container import EXIT_FILE, STATE_FILE, Container, Output, read_json, write_whole
from madang.agent.keeper.launch import Launcher
from madang.agent.keeper.linux import kill_quietly, process_start_time
from madang.agent.keeper.plan import ContainerPlan, ContainerRecord, ExecPlan, ExitRecord
from madang.agent.keeper.spawn import SpawnError, start_process

PROTOCOL: Final = 1
_IDLE_SECONDS: Final = 5.0  # without agent and containers the keeper ends
_DRAIN_SECONDS: Final = 5.0  # for output that something unkillable still holds open


class Keeper:
    """One a node. Everything happens on one thread, so that forking is safe."""

    def __init__(self, listener: socket.socket, containers: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        self._directory = containers
        self._connections: set[Connection] = set()
        self._containers: dict[str, Container] = {}
        self._execs: dict[int, tuple[Connection, str, Callable[[], None]]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = itertools.count()
        self._dirty: set[str] = set()
        self._launcher = Launcher(self._register, self._forget, self._started, self._launch_failed)
        self._idle_since = time.monotonic()
        self._wake_reader, wake_writer = os.pipe()
        for descriptor in (self._wake_reader, wake_writer):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self._register(listener.fileno(), self._accept)
        self._register(self._wake_reader, self._reap)

    def run(self) -> None:
        """Serve until there is nothing to keep and nobody connected."""
        self._bury_strangers()
        while not self._idle():
            for key, _ in self._selector.select(self._next_timer()):
                # An earlier callback may have closed it, and the number may already belong to something else.
                if self._selector.get_map().get(key.fd) is key:
                    self._guarded(cast(Callable[[], None], key.data))
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                self._guarded(heapq.heappop(self._timers)[2])
            self._tell_output()

    @staticmethod
    def _guarded(action: Callable[[], None]) -> None:
        """Run a callback; a fault in it, written to keeper.log, must not take all containers of the node with it."""
        try:
            action()
        except Exception:
            traceback.print_exc()
            time.sleep(0.01)  # should it come again and again, the processor stays free for others

    def _idle(self) -> bool:
        if self._connections or any(item.phase != "ended" for item in self._containers.values()):
            self._idle_since = time.monotonic()
        return time.monotonic() - self._idle_since > _IDLE_SECONDS

    def _next_timer(self) -> float:
        due = self._timers[0][0] - time.monotonic() if self._timers else _IDLE_SECONDS
        return max(0.0, min(due, _IDLE_SECONDS))

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._sequence), action))

    def _register(self, descriptor: int, action: Callable[[], None]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, action)

    def _forget(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)
        os.close(descriptor)

    def _bury_strangers(self) -> None:
        """Containers of an earlier keeper that was killed: their ends can't be known any more, so they end as lost."""
        for entry in os.scandir(self._directory):
            record = cast("ContainerRecord | None", read_json(f"{entry.path}/{STATE_FILE}"))
            ended = cast("ExitRecord | None", read_json(f"{entry.path}/{EXIT_FILE}"))
            if record is None or (ended is not None and ended["epoch"] >= record["epoch"]):
                continue
            for kind in ("sandbox", "main"):
                pid, born = int(record[f"{kind}_pid"]), int(record[f"{kind}_born"])  # type: ignore[literal-required]
                if pid and born and process_start_time(pid) == born:
                    kill_quietly(pid, group=kind == "main")
                    kill_quietly(pid)
            exit_record: ExitRecord = {
                "container": record["container"],
                "epoch": record["epoch"],
                "reason": "lost",
                "code": None,
                "signal": None,
                "message": "the process that kept this container was killed or the machine restarted",
                "started_at": record["started_at"],
                "ended_at": time.time(),
            }
            with contextlib.suppress(OSError):
                write_whole(f"{entry.path}/{EXIT_FILE}", exit_record)

    # --- agents ---

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except BlockingIOError:
            return
        connection = Connection(accepted)
        self._connections.add(connection)
        self._register(accepted.fileno(), lambda: self._serve(connection))

    def _serve(self, connection: Connection) -> None:
        try:
            for request in connection.receive():
                self._answer(connection, request)
        except (ConnectionError, OSError):
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self._selector.unregister(connection.socket.fileno())
        connection.close()
        for pid in connection.execs.values():  # nobody reads their output any more
            kill_quietly(pid, signal.SIGKILL, group=True)

    def _send(self, connection: Connection, message: dict[str, object]) -> None:
        try:
            connection.send(message)
        except ConnectionError:
            self._drop(connection)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.outgoing else 0)
        key = self._selector.get_key(connection.socket.fileno())
        if key.events != events:
            self._selector.modify(key.fd, events, lambda: self._serve_or_flush(connection))

    def _serve_or_flush(self, connection: Connection) -> None:
        try:
            connection.flush()
        except ConnectionError:
            self._drop(connection)
            return
        if not connection.outgoing:
            self._selector.modify(connection.socket.fileno(), selectors.EVENT_READ, lambda: self._serve(connection))
        self._serve(connection)

    def _broadcast(self, message: dict[str, object]) -> None:
        for connection in list(self._connections):
            self._send(connection, message)

    def _answer(self, connection: Connection, request: dict[str, object]) -> None:
        actions: dict[str, Callable[[Connection, dict[str, object]], dict[str, object]]] = {
            "hello": self._hello,
            "start": self._start,
            "stop": self._stop,
            "forget": self._forget_container,
            "follow": self._follow,
            "exec": self._exec,
            "signal": self._signal,
        }
        try:
            answer = actions[str(request.get("op"))](connection, request)
        except (SpawnError, OSError, KeyError, ValueError) as error:
            answer = {"error": str(error) or type(error).__name__}
        self._send(connection, {"id": request.get("id"), **answer})

    def _hello(self, _connection: Connection, _request: dict[str, object]) -> dict[str, object]:
        return {
            "protocol": PROTOCOL,
            "pid": os.getpid(),
            "containers": [self._view(c) for c in self._containers.values()],
        }

    @staticmethod
    def _view(container: Container) -> dict[str, object]:
        return {
            "container": container.name,
            "epoch": container.epoch,
            "phase": "running" if container.phase == "draining" else container.phase,
            "started_at": container.started_at,
            "exit": container.exit,
            "pid": container.main_pid,
        }

    def _tell(self, container: Container) -> None:
        self._broadcast({"event": "phase", **self._view(container)})

    def _follow(self, connection: Connection, request: dict[str, object]) -> dict[str, object]:
        (connection.follows.add if request["on"] else connection.follows.discard)(str(request["container"]))
        return {}

    def _tell_output(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for name in dirty:
            for connection in list(self._connections):
                if name in connection.follows:
                    self._send(connection, {"event": "output", "container": name})

    # --- containers ---

    def _start(self, _connection: Connection, request: dict[str, object]) -> dict[str, object]:
        plan = cast(ContainerPlan, json.loads(Path(str(request["plan"])).read_text()))
        known = self._containers.get(plan["container"])
        if known is not None and known.epoch >= plan["epoch"]:
            return self._view(known)
        if known is not None and known.phase != "ended":
            return {"error": "an earlier launch of this container still runs"}
        # A keeper before this one may have launched it; its record is on disk.
        for file in (STATE_FILE, EXIT_FILE):
            record = cast("ContainerRecord | None", read_json(f"{plan['directory']}/{file}"))
            if record is not None and record["epoch"] >= plan["epoch"]:
                return {"error": "this launch was made before"}
        container = Container(plan)
        container.save()
        self._containers[container.name] = container
        try:
            container.open_output()
            for output in container.outputs:
                self._register(output.reader, self._output_action(container, output))
            self._launcher.begin(container)
        except (SpawnError, OSError) as error:
            self._launch_failed(container, str(error))
        return self._view(container)

    def _started(self, container: Container) -> None:
        container.phase = "running"
        container.started_at = time.time()
        for output in container.outputs:
            output.close_writer()
        with contextlib.suppress(OSError):  # a full disk: only a later keeper would miss the process ids
            container.save()
        self._tell(container)

    def _launch_failed(self, container: Container, message: str) -> None:
        if container.phase == "ended":
            return
        container.kill()
        reason = "stopped" if container.stopped else "launch"
        self._finish(container, reason, message, None, None)

    def _finish(self, container: Container, reason: str, message: str, code: int | None, number: int | None) -> None:
        for output in container.outputs:
            output.close_writer()
            if output.reader >= 0:
                self._forget(output.reader)
                output.reader = -1
        container.finish(reason, message, code, number)
        saved = container.save_exit()
        self._dirty.add(container.name)
        self._tell(container)
        self._let_go(container, saved)

    def _let_go(self, container: Container, saved: bool) -> None:
        """Forget an ended container once the disk remembers it; on a full disk, try again."""
        if not saved:
            self._after(1.0, lambda: self._let_go(container, container.save_exit()))
        elif self._containers.get(container.name) is container:
            del self._containers[container.name]

    def _output_action(self, container: Container, output: Output) -> Callable[[], None]:
        def act() -> None:
            data = output.read()
            if data is None:
                return
            if not data:
                self._forget(output.reader)
                output.reader = -1
                self._drained(container)
                return
            if container.log is not None:
                container.log.write(output.stream, data, time.time_ns())
            self._dirty.add(container.name)
            if pause := output.pause():
                self._selector.unregister(output.reader)
                self._after(pause, lambda: self._resume(output, act))

        return act

    def _resume(self, output: Output, action: Callable[[], None]) -> None:
        if output.reader >= 0:
            self._register(output.reader, action)

    @staticmethod
    def _grace_over(container: Container) -> None:
        if container.phase == "running":
            container.kill()

    def _drained(self, container: Container) -> None:
        if container.phase == "draining" and all(output.reader < 0 for output in container.outputs):
            self._finish(container, *container.ending())

    def _stop(self, _connection: Connection, request: dict[str, object]) -> dict[str, object]:
        container = self._containers.get(str(request["container"]))
        if container is None or container.phase in ("ended", "draining"):
            return {}
        container.stopped = True
        grace = float(cast(float, request["grace"]))
        if container.phase == "starting":
            self._launch_failed(container, "stopped before it ran")
            return {}
        if grace > 0:
            kill_quietly(container.main_pid, signal.SIGTERM, group=True)
        deadline = time.monotonic() + grace
        if container.kill_at is None or deadline < container.kill_at:
            container.kill_at = deadline
            self._after(grace, lambda: self._grace_over(container))
        return {}

    def _forget_container(self, _connection: Connection, request: dict[str, object]) -> dict[str, object]:
        name = str(request["container"])
        container = self._containers.get(name)
        if container is not None and container.phase != "ended":
            container.stopped = True
            container.kill()
            self._finish(container, "stopped", "removed", None, int(signal.SIGKILL))
        self._containers.pop(name, None)
        return {}

    # --- further processes ---

    def _exec(self, connection: Connection, request: dict[str, object]) -> dict[str, object]:
        token = str(request["token"])
        plan_file, *streams = connection.take_descriptors(2 if request["terminal"] else 4)
        try:
            container = self._containers.get(str(request["container"]))
            if container is None or container.phase != "running":
                return {"error": "the container does not run"}
            with open(plan_file, closefd=False) as file:
                plan = cast(ExecPlan, json.load(file))
            terminal = None
            if plan["terminal"]:
                terminal = (socket.socket(fileno=os.dup(streams[0])), plan["rows"], plan["columns"])
            pid, errors = start_process(
                plan["process"],
                container.plan["confinement"],
                container.sandbox_pid or None,
                self._launcher.seccomp(container.plan),
                None if terminal else streams,
                terminal,
            )
            if terminal:
                terminal[0].close()
        finally:
            for descriptor in (plan_file, *streams):
                os.close(descriptor)
        connection.execs[token] = pid
        checked = False

        def check() -> None:
            """Learn from the error pipe whether the program runs; once."""
            nonlocal checked
            if checked:
                return
            try:
                report = os.read(errors, 4096)
            except BlockingIOError:
                return
            checked = True
            self._forget(errors)
            if report:
                failure = self._launcher.explain(report, plan["process"])
                self._send(connection, {"event": "exec-failed", "token": token, "message": failure})

        self._execs[pid] = (connection, token, check)
        self._register(errors, check)
        return {"pid": pid}

    def _signal(self, connection: Connection, request: dict[str, object]) -> dict[str, object]:
        pid = connection.execs.get(str(request["token"]))
        if pid is not None:
            kill_quietly(pid, int(cast(int, request["number"])), group=bool(request.get("group", True)))
        return {}

    # --- ends of processes ---

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_reader, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._ended(pid, status)

    def _ended(self, pid: int, status: int) -> None:
        if pid in self._execs:
            connection, token, check = self._execs.pop(pid)
            check()
            connection.execs.pop(token, None)
            if connection in self._connections:
                self._send(connection, {"event": "exec-ended", "token": token, "status": status})
            return
        for container in self._containers.values():
            if pid == container.main_pid and container.status is None:
                self._launcher.settle(container)
                container.status = status
                if container.phase == "running":
                    self._drain(container)
                return
            if pid in (container.sandbox_pid, container.monitor_pid, container.helper_pid):
                self._launcher.part_ended(container, pid, status)
                return

    def _drain(self, container: Container) -> None:
        container.phase = "draining"
        container.kill()
        self._after(_DRAIN_SECONDS, lambda: self._give_up_draining(container))
        self._drained(container)

    def _give_up_draining(self, container: Container) -> None:
        if container.phase == "draining":
            self._finish(container, *container.ending())
