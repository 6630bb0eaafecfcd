"""A further process in a session, asynchronously; the frames are described in madang.schemas.exec."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

import websockets
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from madang.domain.errors import MadangError, Unavailable
from madang.schemas.agent import ExecSpec, ExitReport, Stream
from madang.schemas.base import Wire
from madang.schemas.exec import (
    REPLY,
    STDERR,
    STDIN,
    STDOUT,
    WINDOW,
    ExecEof,
    ExecExit,
    ExecFailure,
    ExecResize,
    ExecSignal,
    ExecWindow,
)
from madang.sdk.connection import Connection
from madang.sdk.errors import NoServer, error_of, error_of_response

_FRAME: Final = 64 << 10
_GRANT: Final = WINDOW // 4  # so much output is taken before the server hears of it
_STREAMS: Final[dict[int, Stream]] = {STDOUT: "stdout", STDERR: "stderr"}


class AsyncExec:
    """A running process. Closing it kills the process if it still runs."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._output: deque[tuple[Stream, bytes]] = deque()
        self._exit: ExitReport | None = None
        self._error: MadangError | None = None
        self._window = WINDOW
        self._taken = 0
        self._changed = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, connection: Connection, path: str, spec: ExecSpec) -> AsyncExec:
        """Connect and send the spec."""
        try:
            socket = await websockets.connect(
                "ws" + connection.url.removeprefix("http") + path,
                additional_headers=connection.authorization("GET", urlsplit(connection.url).path + path),
                compression=None,
                proxy=None if connection.is_loopback else True,
            )
        except InvalidStatus as error:
            raise error_of_response(error.response.status_code, bytes(error.response.body or b"")) from None
        except (OSError, TimeoutError, InvalidHandshake):
            raise NoServer(f"No server answers at {connection.url}. Start one with `madang up`.") from None
        await socket.send(spec.model_dump_json())
        return cls(socket)

    async def __aenter__(self) -> AsyncExec:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def write(self, data: bytes) -> None:
        """Send bytes to its standard input; waits while too many are under way. Ignored once it has ended."""
        view = memoryview(data)
        while view:
            async with self._changed:
                await self._changed.wait_for(lambda: self._window > 0 or self._over)
                if self._over:
                    return
                size = min(len(view), self._window, _FRAME)
                self._window -= size
            await self._send(bytes([STDIN]) + view[:size])
            view = view[size:]

    async def close_stdin(self) -> None:
        """End its standard input; on a terminal this is Ctrl-D."""
        await self._send(ExecEof())

    async def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal its size."""
        await self._send(ExecResize(rows=rows, columns=columns))

    async def signal(self, number: int) -> None:
        """Send it a signal."""
        await self._send(ExecSignal(number=number))

    async def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        """Its output until it ends; on a terminal all of it is stdout.

        Raises the server's error when it could not be started, Unavailable when the connection is lost.
        """
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._output or self._over)
                if not self._output:
                    if self._error is not None:
                        raise self._error
                    return
                stream, data = self._output.popleft()
            await self._took(len(data))
            yield stream, data

    async def wait(self) -> ExitReport:
        """How it ended. Output that nobody has taken is thrown away."""
        async for _ in self.output():
            pass
        assert self._exit is not None  # noqa: S101  output ends only by an exit or an error
        return self._exit

    async def close(self) -> None:
        """Kill it if it runs."""
        await self._socket.close()
        await self._reading

    @property
    def _over(self) -> bool:
        return self._exit is not None or self._error is not None

    async def _took(self, size: int) -> None:
        self._taken += size
        if self._taken >= _GRANT and not self._over:
            grant, self._taken = self._taken, 0
            await self._send(ExecWindow(bytes=grant))

    async def _send(self, message: Wire | bytes) -> None:
        """A socket that is closed is no error: the reader tells how it ended."""
        try:
            await self._socket.send(message.model_dump_json() if isinstance(message, Wire) else message)
        except ConnectionClosed:
            return

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                async with self._changed:
                    self._take(message)
                    self._changed.notify_all()
        except ConnectionClosed:
            pass  # told below: there was no exit
        finally:
            async with self._changed:
                if not self._over:
                    self._error = Unavailable("The connection was lost, and the process was killed with it.")
                self._changed.notify_all()

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self._output.append((_STREAMS[message[0]], message[1:]))
            return
        reply = REPLY.validate_json(message)
        match reply:
            case ExecWindow():
                self._window += reply.bytes
            case ExecExit():
                self._exit = reply.exit
            case ExecFailure():
                self._error = error_of(reply.problem)
