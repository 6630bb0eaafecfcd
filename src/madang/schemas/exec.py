"""Text frames on the WebSocket of an exec; standard streams travel in binary frames beside them.

A binary frame is one byte that names the stream (0 stdin, 1 stdout, 2 stderr) and then data. The first text frame of
the client is an ExecSpec. Each side may have WINDOW bytes of data under way that the other has not yet taken; whoever
takes some grants that much anew by `window`. So neither side ever stops reading its socket, and a signal or a close
always gets through, however long the queue of data is.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from madang.schemas.agent import ExitReport
from madang.schemas.api import Problem
from madang.schemas.base import Wire

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2

WINDOW: Final = 1 << 20
"""Bytes of data, without the first byte of each frame, that may be under way in one direction."""


class ExecResize(Wire):
    """The terminal has a new size (client)."""

    type: Literal["resize"] = "resize"
    rows: int = Field(ge=1, le=1000)
    columns: int = Field(ge=1, le=1000)


class ExecSignal(Wire):
    """Send a signal to the process (client)."""

    type: Literal["signal"] = "signal"
    number: int = Field(ge=1, le=64)


class ExecEof(Wire):
    """No more standard input follows (client)."""

    type: Literal["eof"] = "eof"


class ExecWindow(Wire):
    """So many bytes were taken and may be sent anew (both)."""

    type: Literal["window"] = "window"
    bytes: int = Field(ge=1, le=WINDOW)


class ExecExit(Wire):
    """The process has ended and all its output was sent (server, last)."""

    type: Literal["exit"] = "exit"
    exit: ExitReport


class ExecFailure(Wire):
    """The process could not be started or followed (server, last)."""

    type: Literal["error"] = "error"
    problem: Problem


ExecControl = Annotated[ExecResize | ExecSignal | ExecEof | ExecWindow, Field(discriminator="type")]
ExecReply = Annotated[ExecWindow | ExecExit | ExecFailure, Field(discriminator="type")]

CONTROL: Final[TypeAdapter[ExecResize | ExecSignal | ExecEof | ExecWindow]] = TypeAdapter(ExecControl)
"""Reads what a client says."""

REPLY: Final[TypeAdapter[ExecWindow | ExecExit | ExecFailure]] = TypeAdapter(ExecReply)
"""Reads what the server says."""
