"""A process in a session with this terminal: raw mode, its size, and the terminal as it was on any exit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from madang.cli.follow import write_all

if TYPE_CHECKING:
    from madang.schemas.agent import ExitReport
    from madang.sdk import AsyncExec

_CHUNK: Final = 64 << 10
_DESCRIPTORS: Final = {"stdout": 1, "stderr": 2}
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


def size() -> tuple[int, int]:
    """Rows and columns of this terminal."""
    columns, rows = os.get_terminal_size(sys.stdin.fileno())
    return max(rows, 1), max(columns, 1)


@contextlib.contextmanager
def raw() -> Iterator[None]:
    """The terminal without line editing, echo and signal keys; put back as it was however this ends."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


async def attach_terminal(process: AsyncExec) -> ExitReport:
    """Connect this terminal with a process that has one."""
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    resizing: set[asyncio.Task[None]] = set()

    def resize() -> None:
        task = asyncio.ensure_future(process.resize(*size()))
        resizing.add(task)
        task.add_done_callback(resizing.discard)

    loop.add_signal_handler(signal.SIGWINCH, resize)
    for number in _ENDING:
        loop.add_signal_handler(number, lambda: main and main.cancel())
    try:
        with raw():
            _pump_input(process, loop)
            return await _show(process)
    finally:
        for number in (signal.SIGWINCH, *_ENDING):
            loop.remove_signal_handler(number)


async def attach_streams(process: AsyncExec, *, stdin: bool) -> ExitReport:
    """Connect standard input (if wanted), output and error; Ctrl-C goes to the process, a second one ends it."""
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    interrupts: list[asyncio.Task[None]] = []

    def interrupt() -> None:
        if interrupts and main is not None:
            main.cancel()
        else:
            interrupts.append(asyncio.ensure_future(process.signal(signal.SIGINT)))

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        if stdin:
            _pump_input(process, loop)
        else:
            await process.close_stdin()
        return await _show(process)
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _show(process: AsyncExec) -> ExitReport:
    async for stream, data in process.output():
        await asyncio.to_thread(write_all, _DESCRIPTORS[stream], data)
    return await process.wait()


def _pump_input(process: AsyncExec, loop: asyncio.AbstractEventLoop) -> None:
    """Read standard input in a thread that nobody waits for: a read from a terminal cannot be cancelled."""

    def pump() -> None:
        try:
            while data := os.read(0, _CHUNK):
                asyncio.run_coroutine_threadsafe(process.write(data), loop).result()
            asyncio.run_coroutine_threadsafe(process.close_stdin(), loop).result()
        except (OSError, RuntimeError, asyncio.CancelledError):
            return  # the terminal or the loop has gone, and with it the process

    threading.Thread(target=pump, name="stdin", daemon=True).start()
