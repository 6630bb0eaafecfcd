"""The agent's side of the keeper: starts it when none runs, sends commands, hands on its events."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from madang.domain.errors import Unavailable

_START_SECONDS: Final = 15.0
_LINE_LIMIT: Final = 16 << 20

Message = dict[str, object]


class KeeperError(Exception):
    """The keeper refused a command; the text says why."""


class KeeperClient:
    """One connection; after a loss it connects again and starts a new keeper when the old one is gone.

    `on_event` gets every event; `on_connect` the answer to `hello` after each (re)connection.
    """

    def __init__(
        self, directory: Path, on_event: Callable[[Message], None], on_connect: Callable[[Message], None]
    ) -> None:
        self._directory = directory
        self._on_event = on_event
        self._on_connect = on_connect
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._socket: socket.socket | None = None
        self._send_lock = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None
        self._follows: set[str] = set()
        self._closed = False
        self.pid = 0

    async def open(self) -> None:
        """Connect to the keeper, or start one. Raises Unavailable."""
        await self._connect()

    async def close(self) -> None:
        """Disconnect; containers and keeper go on."""
        self._closed = True
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        if self._socket is not None:
            self._socket.close()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _START_SECONDS
        complaint = ""
        while True:
            connection = self._try_connect()
            if connection is not None:
                break
            if loop.time() > deadline:
                raise Unavailable(f"The keeper of containers does not start: {complaint or 'no answer'}.")
            complaint = await asyncio.to_thread(self._spawn)
        self._socket = connection
        self._reader = asyncio.create_task(self._read(connection), name="keeper-reader")
        hello = await self.request("hello")
        self.pid = int(str(hello["pid"]))
        for container in self._follows:
            await self.request("follow", container=container, on=True)
        self._on_connect(hello)

    def _try_connect(self) -> socket.socket | None:
        # The path of a socket is limited to 107 bytes, that of the data directory is not: go through a descriptor.
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            base = f"/proc/self/fd/{directory}" if sys.platform == "linux" else str(self._directory)
            connection.connect(f"{base}/keeper.sock")
        except OSError:
            connection.close()
            return None
        finally:
            os.close(directory)
        connection.setblocking(False)
        return connection

    def _spawn(self) -> str:
        """Start a keeper and wait until it is ready or gives up. Blocks. Returns its complaint; empty when ready."""
        log = self._directory / "keeper.log"
        with log.open("ab") as complaints:
            process = subprocess.Popen(
                [sys.executable, "-I", "-m", "madang.agent.keeper", str(self._directory)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,
                cwd="/",
            )
        if process.stdout is None:
            return "it has no output"
        with process.stdout as said:
            ready = said.readline().strip() == b"ready"
        code = process.wait()  # the keeper itself has gone into the background
        if ready:
            return ""
        if code == 3:
            time.sleep(0.02)  # another one holds the lock and will be listening in a moment
            return "another keeper holds the lock"
        return log.read_text(errors="replace").strip()[-500:]

    async def _read(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        buffer = bytearray()
        try:
            while data := await loop.sock_recv(connection, 1 << 16):
                buffer += data
                if len(buffer) > _LINE_LIMIT:
                    break
                while (end := buffer.find(b"\n")) >= 0:
                    message = json.loads(bytes(buffer[:end]))
                    del buffer[: end + 1]
                    self._dispatch(message)
        except OSError:
            pass  # the same as its end
        if not self._closed:
            self._reader = asyncio.create_task(self._reconnect(), name="keeper-reconnect")

    def _dispatch(self, message: Message) -> None:
        identifier = message.pop("id", None)
        if identifier is None:
            self._on_event(message)
        elif isinstance(identifier, int) and (waiting := self._waiting.pop(identifier, None)) and not waiting.done():
            waiting.set_result(message)

    async def _reconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Unavailable("The keeper of containers was lost; the command may be sent again."))
        self._waiting.clear()
        pause = 0.05
        while not self._closed:
            try:
                await self._connect()
                return
            except (Unavailable, OSError):
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)

    async def request(self, operation: str, descriptors: Sequence[int] = (), **fields: object) -> Message:
        """Send a command and wait for its answer. Raises KeeperError when refused, Unavailable when not connected."""
        connection = self._socket
        if connection is None:
            raise Unavailable("The keeper of containers is being restarted; try again in a moment.")
        identifier = next(self._ids)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[identifier] = answer
        line = json.dumps({"id": identifier, "op": operation, **fields}).encode() + b"\n"
        try:
            async with self._send_lock:
                sent = 0
                if descriptors:
                    sent = socket.send_fds(connection, [line], list(descriptors))
                await asyncio.get_running_loop().sock_sendall(connection, line[sent:])
        except OSError:
            self._waiting.pop(identifier, None)
            raise Unavailable("The keeper of containers was lost; try again in a moment.") from None
        message = await answer
        if "error" in message:
            raise KeeperError(str(message["error"]))
        return message

    async def follow(self, container: str, on: bool) -> None:
        """Ask for an event whenever a container has new output, or no longer."""
        if on == (container in self._follows):
            return
        (self._follows.add if on else self._follows.discard)(container)
        with contextlib.suppress(Unavailable):  # asked again on reconnection
            await self.request("follow", container=container, on=on)
