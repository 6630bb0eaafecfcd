"""What the server has to say to everybody, on standard error: each announcement once in a terminal."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from madang.cli.i18n import language
from madang.domain.errors import MadangError
from madang.domain.notices import MAINTENANCE_MARK, in_language

if TYPE_CHECKING:
    from madang.sdk import AsyncClient

_TERMINALS: Final = 50  # so many are remembered


async def show_news(client: AsyncClient) -> None:
    """Show what the last answers named and this terminal has not shown yet. It asks for a text only then, and only
    where somebody reads it."""
    marks = client.notices
    if not marks or not sys.stderr.isatty() or _for_machines():
        return
    seen = _Seen(_state_file(), f"{client.url} {_terminal()}")
    news = [mark for mark in marks if mark not in seen.marks]
    if not news:
        return
    with contextlib.suppress(MadangError):
        await _show(client, news)
        seen.add(marks)


async def _show(client: AsyncClient, news: list[str]) -> None:
    from madang.cli.maintenance import sentence
    from madang.cli.output import note, warn

    if any(mark.startswith(MAINTENANCE_MARK) for mark in news):
        state = await client.maintenance.get()
        if state.on:
            warn(sentence(state))
    if any(not mark.startswith(MAINTENANCE_MARK) for mark in news):
        for one in reversed(await client.announcements.list()):
            if one.id in news:
                (warn if one.level == "warning" else note)(in_language(one.message, language()))


def _for_machines() -> bool:
    """Whether the command that runs was asked for JSON; what follows `--` is another program's."""
    return "--json" in itertools.takewhile(lambda argument: argument != "--", sys.argv)


def _terminal() -> str:
    """The terminal, and who began to use it: the next one gets to see everything anew."""
    try:
        return f"{os.ttyname(sys.stderr.fileno())} {os.getsid(0)}"
    except (OSError, ValueError):
        return "?"


def _state_file() -> Path:
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local" / "state") / "madang" / "notices.json"


class _Seen:
    """What a terminal has shown; a file that cannot be read or written only means that things are shown again."""

    def __init__(self, path: Path, terminal: str) -> None:
        self._path = path
        self._terminal = terminal
        self._all: dict[str, list[str]] = {}
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(path.read_bytes())
            if isinstance(found, dict):
                self._all = {str(key): [str(mark) for mark in marks] for key, marks in found.items()}
        self.marks = frozenset(self._all.get(terminal, ()))

    def add(self, marks: tuple[str, ...]) -> None:
        """These have been shown; what is no longer said need not be remembered."""
        self._all.pop(self._terminal, None)
        self._all[self._terminal] = list(marks)
        kept = dict(list(self._all.items())[-_TERMINALS:])
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            partial.write_text(json.dumps(kept), encoding="utf-8")
            partial.replace(self._path)
