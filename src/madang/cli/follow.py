"""Following one session from the terminal: its output as it comes, why it waits, and Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from madang.cli.i18n import t
from madang.cli.output import note, warn
from madang.domain.errors import MadangError
from madang.domain.session import ENDED, SessionState

if TYPE_CHECKING:
    from madang.schemas.api import Session
    from madang.sdk import AsyncClient, LogPiece

_PATIENCE: Final = 0.7  # seconds without a word before anybody wants to know why
_POLL: Final = 0.5
_DESCRIPTORS: Final = {"stdout": 1, "stderr": 2}


class Follower:
    """Shows a session until it ends. The first Ctrl-C stops it, the second leaves it alone."""

    def __init__(self, client: AsyncClient, session: Session) -> None:
        self._client = client
        self._session = session
        self._interrupts = 0
        self._stopping: asyncio.Task[None] | None = None
        self._line = StatusLine()

    @property
    def interrupted(self) -> bool:
        """Whether the user has asked to stop it."""
        return self._interrupts > 0

    async def follow(self) -> Session | None:
        """The session once it has ended; None when the user went away from it."""
        loop = asyncio.get_running_loop()
        main = asyncio.ensure_future(self._watch())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._interrupt, main)
        waiting = asyncio.ensure_future(self._say_why_it_waits())
        try:
            return await main
        except asyncio.CancelledError:
            if self._interrupts < 2:
                raise
            note(t("follow.detached", name=self._session.name))
            return None
        finally:
            waiting.cancel()
            self._line.clear()
            if self._stopping is not None:
                await asyncio.gather(self._stopping, return_exceptions=True)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(number)

    async def _watch(self) -> Session:
        try:
            async for piece in self._client.sessions.logs(self._session.id):
                self._line.close()
                await write_piece(piece)
        except BrokenPipeError:
            # As in `madang run ... | head -1`: a pipe ends its writer.
            await self._client.sessions.stop(self._session.id)
            raise
        return await self._client.sessions.wait(self._session.id)

    def _interrupt(self, main: asyncio.Future[Session]) -> None:
        self._interrupts += 1
        if self._interrupts == 1:
            self._line.clear()
            note(t("follow.stopping", name=self._session.name))
            self._stopping = asyncio.ensure_future(self._stop())
        else:
            main.cancel()

    async def _stop(self) -> None:
        try:
            await self._client.sessions.stop(self._session.id)
        except MadangError as error:
            warn(error.message)

    async def _say_why_it_waits(self) -> None:
        await asyncio.sleep(_PATIENCE)
        while not self._line.closed:
            try:
                session = await self._client.sessions.get(self._session.id)
                if session.state is SessionState.RUNNING or session.state in ENDED:
                    break
                self._line.show(await self._reason(session))
            except MadangError:
                pass  # whoever follows the output tells what is wrong
            await asyncio.sleep(_POLL)
        self._line.clear()

    async def _reason(self, session: Session) -> str:
        if session.state is not SessionState.PREPARING:
            from madang.cli.waiting import reason_of

            return t("follow.waiting", name=session.name, reason=reason_of(session) or session.state.value)
        environment = await self._client.environments.get(session.environment)
        if environment.progress is None:
            return t("follow.preparing", name=session.name)
        percent = round(environment.progress * 100)
        return t("follow.building", environment=environment.name, percent=percent, message=environment.message)


class StatusLine:
    """A dim line on standard error that is overwritten; on no terminal, its first text is printed once."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = ""
        self.closed = False

    def show(self, text: str) -> None:
        """Put `text` in place of what is shown."""
        if self.closed or text == self._shown:
            return
        if self._terminal:
            width = max(os.get_terminal_size(sys.stderr.fileno()).columns - 1, 20)
            sys.stderr.write(f"\r\x1b[2K\x1b[2m{text[:width]}\x1b[0m")
            sys.stderr.flush()
        elif not self._shown:
            note(text)
        self._shown = text

    def clear(self) -> None:
        """Take it away; it may be shown again."""
        if self._terminal and self._shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._shown = ""

    def close(self) -> None:
        """Take it away for good."""
        if not self.closed:
            self.clear()
            self.closed = True


async def write_piece(piece: LogPiece) -> None:
    """Write a piece of output to the stream it came from, byte for byte. Raises BrokenPipeError."""
    if piece.skipped:
        warn(t("follow.skipped", count=piece.skipped))
    # In a thread: a reader that is slow must not keep Ctrl-C from being heard.
    await asyncio.to_thread(write_all, _DESCRIPTORS[piece.stream], piece.data)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte, also when the descriptor takes only a part at a time or was left non-blocking."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            import select

            select.select([], [descriptor], [])


def signal_name(number: int) -> str:
    """`SIGKILL` for 9."""
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return str(number)
