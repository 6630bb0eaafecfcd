"""Relays one process over one WebSocket: flow control both ways, and the process never outlives the socket."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from madang.agent.base import ExecProcess
from madang.api.errors import invalid_fields
from madang.api.problems import make_problem, problem_of
from madang.api.shutdown import End, Ends
from madang.domain.errors import InvalidInput, MadangError
from madang.schemas.agent import ExecSpec
from madang.schemas.api import Problem
from madang.schemas.base import Wire
from madang.schemas.exec import (
    CONTROL,
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

log = structlog.get_logger(__name__)

_FRAME: Final = 64 << 10  # bytes of output in one frame
_CODES: Final = {"stdout": bytes([STDOUT]), "stderr": bytes([STDERR])}
_GOING_AWAY: Final = 1001
_NOT_ALLOWED: Final = 1008


async def _end(ends: Ends) -> End:
    return await ends()


class Execution:
    """One exec: made for an accepted socket, run once."""

    def __init__(self, socket: WebSocket, ends: Ends) -> None:
        self._socket = socket
        self._ends = ends
        self._stdin: deque[bytes | None] = deque()  # None: end of input
        self._stdin_size = 0
        self._stdin_ready = asyncio.Event()
        self._window = WINDOW  # bytes of output the client still takes
        self._window_open = asyncio.Event()
        self._window_open.set()

    async def run(self, start: Callable[[ExecSpec], Awaitable[ExecProcess]]) -> None:
        """Read the spec, start the process, relay until it ends or the socket does; then it is dead, always."""
        try:
            async with contextlib.AsyncExitStack() as stack:
                process = await start(await self._spec())
                stack.push_async_callback(process.close)
                await self._relay(process)
        except WebSocketDisconnect:
            return
        except MadangError as error:
            await self._finish(ExecFailure(problem=problem_of(error)))
        except Exception:
            log.error("exec failed", exception=traceback.format_exc())  # plain: no local variables
            detail = "Something went wrong inside Madang; its log has the details."
            await self._finish(ExecFailure(problem=_internal(detail)))

    async def _spec(self) -> ExecSpec:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        try:
            return ExecSpec.model_validate_json(message.get("text") or "")
        except ValidationError as error:
            raise invalid_fields(error) from None

    async def _relay(self, process: ExecProcess) -> None:
        listening = asyncio.create_task(self._listen(process))
        feeding = asyncio.create_task(self._feed(process))
        sending = asyncio.create_task(self._send_output(process))
        closing = asyncio.create_task(_end(self._ends))
        tasks: list[asyncio.Task[object]] = [listening, feeding, sending, closing]
        try:
            # Feeding ends by itself at the end of input, so it is only waited for when it fails.
            waiting: set[asyncio.Task[object]] = set(tasks)
            while not any(task.done() for task in (listening, sending, closing)):
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if sending.done() and not sending.cancelled():
            sending.result()
            await self._finish(ExecExit(exit=await process.wait()))
        elif closing.done() and not closing.cancelled():
            with contextlib.suppress(RuntimeError, OSError):
                if closing.result() == "stopping":
                    await self._socket.close(_GOING_AWAY, "the server is stopping")
                else:
                    await self._socket.close(_NOT_ALLOWED, "you may no longer be here")

    async def _listen(self, process: ExecProcess) -> None:
        """Take what the client sends; never waits for the process, so that a signal always gets through."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message["code"])
            data = message.get("bytes")
            if data is not None:
                self._take_stdin(data)
            else:
                await self._control(process, message.get("text") or "")

    def _take_stdin(self, frame: bytes) -> None:
        if not frame or frame[0] != STDIN:
            raise InvalidInput("A binary frame begins with byte 0, for standard input.")
        self._stdin_size += len(frame) - 1
        if self._stdin_size > WINDOW:
            raise InvalidInput(f"More than {WINDOW} bytes of input are under way; wait for 'window' frames.")
        self._stdin.append(frame[1:])
        self._stdin_ready.set()

    async def _control(self, process: ExecProcess, text: str) -> None:
        try:
            control = CONTROL.validate_json(text)
        except ValidationError as error:
            raise invalid_fields(error) from None
        match control:
            case ExecResize():
                await process.resize(control.rows, control.columns)
            case ExecSignal():
                await process.signal(control.number)
            case ExecEof():
                self._stdin.append(None)
                self._stdin_ready.set()
            case ExecWindow():
                self._window = min(self._window + control.bytes, WINDOW)
                self._window_open.set()

    async def _feed(self, process: ExecProcess) -> None:
        """Give the process its input, and the client leave to send as much again."""
        while True:
            await self._stdin_ready.wait()
            self._stdin_ready.clear()
            while self._stdin:
                data = self._stdin.popleft()
                if data is None:
                    await process.close_stdin()
                    return
                await process.write(data)
                self._stdin_size -= len(data)
                if data:
                    await self._send(ExecWindow(bytes=len(data)))

    async def _send_output(self, process: ExecProcess) -> None:
        async for stream, data in process.output():
            code, view = _CODES[stream], memoryview(data)
            while view:
                while not self._window:
                    self._window_open.clear()
                    await self._window_open.wait()
                size = min(len(view), self._window, _FRAME)
                self._window -= size
                await self._socket.send_bytes(code + view[:size])
                view = view[size:]

    async def _send(self, message: Wire) -> None:
        await self._socket.send_text(message.model_dump_json())

    async def _finish(self, message: Wire) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):  # the client may be gone
            await self._send(message)
            await self._socket.close()


def _internal(detail: str) -> Problem:
    return make_problem(500, "internal", "Internal error", detail)
