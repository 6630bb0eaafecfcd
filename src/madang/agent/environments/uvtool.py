"""Running uv: line by line, and with all of its children ended when it is no longer wanted."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import uv

from madang.domain.errors import MadangError, StorageFull, Unavailable

_TAIL_LINES: Final = 12
_SECRET: Final = re.compile(r"(://)[^/\s@]+@")
_FULL: Final = (
    "No space left on device",
    "Disk quota exceeded",
    f"os error {errno.ENOSPC}",
    f"os error {errno.EDQUOT}",
)


class CommandFailed(Exception):
    """A command of a build ended with an error. `lines` are the last it printed, passwords removed."""

    def __init__(self, command: str, code: int, lines: Sequence[str]) -> None:
        super().__init__(f"{command} failed with exit code {code}")
        self.command = command
        self.code = code
        self.lines = tuple(lines)

    def explain(self, what: str) -> MadangError:
        """The error for people: StorageFull when the disk was, else Unavailable with the command's own words."""
        text = "\n".join(self.lines)
        if any(sign in text for sign in _FULL):
            return StorageFull(f"The disk was full while {what} was built; nothing of it was kept. Free some space.")
        return Unavailable(
            f"Building {what} failed: {self.command} said:\n{text or f'nothing (exit code {self.code})'}"
        )


async def run_uv(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    on_line: Callable[[str], None] = lambda _: None,
    keep_open: Sequence[int] = (),
) -> None:
    """Run uv to its end; every line it prints goes to `on_line`. Raises CommandFailed.

    `keep_open`: descriptors that uv inherits, such as a lock that has to outlast a killed parent.
    """
    await run_command([uv.find_uv_bin(), *arguments], environment, on_line, keep_open, shown=f"uv {arguments[0]}")


async def run_command(
    command: Sequence[str],
    environment: Mapping[str, str],
    on_line: Callable[[str], None] = lambda _: None,
    keep_open: Sequence[int] = (),
    *,
    shown: str,
) -> None:
    """Run a command in a session of its own; when cancelled, it and all its children are killed. Raises CommandFailed.

    The working directory is `/`, so that no project file of whoever started Madang has a say.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environment),
            cwd="/",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            pass_fds=tuple(keep_open),
            limit=1 << 20,
        )
    except OSError as error:
        raise CommandFailed(shown, 127, [f"{command[0]}: {error.strerror}"]) from error
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    try:
        output = process.stdout or asyncio.StreamReader()
        async for raw in output:
            line = _SECRET.sub(r"\1***@", raw.decode("utf-8", "replace").rstrip())
            if line:
                tail.append(line)
                on_line(line)
        code = await process.wait()
    finally:
        await _end_group(process)
    if code != 0:
        raise CommandFailed(shown, code, tail)


async def _end_group(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return  # it has been waited for, so its number may already belong to somebody else
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
