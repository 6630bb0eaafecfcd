"""A further process in a container, started by the keeper, its streams held by the agent."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
import struct
import termios
from collections.abc import AsyncIterator
from typing import Final

from madang.agent.keeper.plan import ExecPlan, Process
from madang.agent.keeper_client import KeeperClient, KeeperError, Message
from madang.domain.errors import Conflict
from madang.domain.ids import new_id
from madang.domain.session import ExitReason
from madang.schemas.agent import ExecSpec, ExitReport, Stream

_CHUNK: Final = 1 << 16
_QUEUE: Final = 8
_LINGER_SECONDS: Final = 0.25
"""How long output is awaited after the process ended while something it left behind still holds its streams."""


async def _ready(descriptor: int, *, write: bool) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    add, remove = (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
    add(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        remove(descriptor)


async def _read(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, _CHUNK)
        except BlockingIOError:
            await _ready(descriptor, write=False)
        except OSError as error:
            if error.errno == errno.EIO:  # a terminal whose last user has gone
                return b""
            raise


async def _all_done(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


class KeptExec:
    """One process; see agent.base.ExecProcess for the methods."""

    def __init__(self, keeper: KeeperClient, terminal: bool) -> None:
        self.token = new_id()
        self._keeper = keeper
        self._terminal = terminal
        self._stdin = -1
        self._outputs: list[tuple[Stream, int]] = []
        self._status: asyncio.Future[int | str] = asyncio.get_running_loop().create_future()
        self._pumps: list[asyncio.Task[None]] = []

    async def start(self, container: str, base: Process, spec: ExecSpec) -> None:
        """Run it. Raises Conflict when the container does not run."""
        env = base["env"] | ({"TERM": "xterm-256color"} if spec.terminal else {}) | spec.variables
        plan: ExecPlan = {
            "process": {"argv": spec.command, "env": env, "cwd": base["cwd"]},
            "terminal": spec.terminal,
            "rows": spec.rows,
            "columns": spec.columns,
        }
        with contextlib.ExitStack() as closing:
            file = os.memfd_create("exec")
            closing.callback(os.close, file)
            os.write(file, json.dumps(plan).encode())
            os.lseek(file, 0, os.SEEK_SET)
            if spec.terminal:
                await self._start_terminal(container, file)
            else:
                await self._start_piped(container, file)
        for _, descriptor in self._outputs:
            os.set_blocking(descriptor, False)

    async def _start_terminal(self, container: str, plan: int) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            await self._request(container, [plan, theirs.fileno()], terminal=True)
            ours.settimeout(2)
            _, masters, _, _ = await asyncio.to_thread(socket.recv_fds, ours, 1, 1)
        self._stdin = masters[0]
        os.set_inheritable(self._stdin, False)
        self._outputs = [("stdout", self._stdin)]

    async def _start_piped(self, container: str, plan: int) -> None:
        pipes = [os.pipe() for _ in range(3)]
        theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
        ours = [pipes[0][1], pipes[1][0], pipes[2][0]]
        try:
            await self._request(container, [plan, *theirs], terminal=False)
        except BaseException:
            for descriptor in ours:
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        self._stdin = ours[0]
        os.set_blocking(self._stdin, False)
        self._outputs = [("stdout", ours[1]), ("stderr", ours[2])]

    async def _request(self, container: str, descriptors: list[int], *, terminal: bool) -> None:
        try:
            await self._keeper.request("exec", descriptors, container=container, token=self.token, terminal=terminal)
        except KeeperError as error:
            raise Conflict(f"The process cannot be started: {error}.") from None

    def on_event(self, event: Message) -> None:
        """Take the keeper's word that the process has ended or could not be started."""
        if self._status.done():
            return
        if event["event"] == "exec-failed":
            self._status.set_result(str(event["message"]))
        else:
            self._status.set_result(int(str(event["status"])))

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._stdin >= 0:
            try:
                view = view[os.write(self._stdin, view) :]
            except BlockingIOError:
                await _ready(self._stdin, write=True)
            except OSError:  # it has closed its input, or has ended
                return

    async def close_stdin(self) -> None:
        if self._terminal:
            await self.write(b"\x04")
        elif self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    async def resize(self, rows: int, columns: int) -> None:
        if self._terminal and self._stdin >= 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._stdin, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def signal(self, number: int) -> None:
        if not self._status.done():
            await self._keeper.request("signal", token=self.token, number=number)

    async def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        queue: asyncio.Queue[tuple[Stream, bytes]] = asyncio.Queue(_QUEUE)

        async def pump(stream: Stream, descriptor: int) -> None:
            while data := await _read(descriptor):
                await queue.put((stream, data))

        self._pumps = [asyncio.create_task(pump(*output)) for output in self._outputs]
        drained = asyncio.create_task(_all_done(self._pumps))
        lingering = asyncio.create_task(self._linger(queue))
        try:
            while True:
                getting = asyncio.create_task(queue.get())
                await asyncio.wait((getting, drained, lingering), return_when=asyncio.FIRST_COMPLETED)
                if getting.done():
                    yield getting.result()
                    continue
                getting.cancel()
                while not queue.empty():
                    yield queue.get_nowait()
                return
        finally:
            lingering.cancel()
            drained.cancel()
            for pump_task in self._pumps:
                pump_task.cancel()

    async def _linger(self, queue: asyncio.Queue[tuple[Stream, bytes]]) -> None:
        """Return some time after the process has ended and its output has fallen silent."""
        await asyncio.shield(self._status)
        while True:
            await asyncio.sleep(_LINGER_SECONDS)
            if queue.empty():
                return

    async def wait(self) -> ExitReport:
        status = await asyncio.shield(self._status)
        if isinstance(status, str):
            return ExitReport(reason=ExitReason.LAUNCH, message=status)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            return ExitReport(reason=ExitReason.SIGNAL, signal=number, message=f"killed by signal {number}")
        code = os.WEXITSTATUS(status)
        return ExitReport(reason=ExitReason.EXITED, code=code, message=f"ended with exit code {code}")

    async def close(self) -> None:
        if not self._status.done():
            with contextlib.suppress(KeeperError):
                await self._keeper.request("signal", token=self.token, number=int(signal.SIGKILL))
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        open_now = {self._stdin, *(descriptor for _, descriptor in self._outputs)} - {-1}
        self._stdin, self._outputs = -1, []
        for descriptor in open_now:
            os.close(descriptor)
