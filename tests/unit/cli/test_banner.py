"""What is announced is shown once in a terminal, and asked for only then."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from madang.cli import banner, output
from madang.domain.errors import Unavailable
from madang.schemas.site import Announcement, MaintenanceState
from madang.sdk import AsyncClient

NOW = datetime(2026, 11, 23, tzinfo=UTC)
DISKS = Announcement(
    id="d" * 26,
    message={"en": "new disks", "ko": "새 디스크"},
    level="info",
    since=NOW,
    until=None,
    created_at=NOW,
    created_by="admin",
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Server(AsyncClient):
    """Says what it is told to, and counts how often it is asked."""

    def __init__(self, *marks: str, away: bool = False) -> None:
        self.url = "http://here"
        self.marks = marks
        self.asked = 0
        self.announcements = self  # type: ignore[assignment]
        self.maintenance = self  # type: ignore[assignment]
        self.away = away

    @property
    def notices(self) -> tuple[str, ...]:
        return self.marks

    async def list(self) -> list[Announcement]:
        self.asked += 1
        if self.away:
            raise Unavailable("gone")
        return [DISKS]

    async def get(self) -> MaintenanceState:
        self.asked += 1
        return MaintenanceState(on=True, message={"en": "moving"})


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Terminal:
    made = Terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(banner, "_terminal", lambda: "pts/1")
    return made


def _show(server: Server, terminal: io.StringIO) -> None:
    with contextlib.redirect_stderr(terminal):
        output.err.cache_clear()
        asyncio.run(banner.show_news(server))
    output.err.cache_clear()


def test_once_in_a_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(DISKS.id)
    for _ in range(3):
        _show(server, terminal)
    assert (terminal.getvalue(), server.asked) == ("new disks\n", 1)
    monkeypatch.setattr(banner, "_terminal", lambda: "pts/2")
    _show(server, terminal)
    assert (terminal.getvalue(), server.asked) == ("new disks\nnew disks\n", 2)


def test_nothing_is_asked_where_nothing_is_said_or_nobody_reads(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    _show(Server(), terminal)
    silent = Server(DISKS.id)
    _show(silent, io.StringIO())
    monkeypatch.setattr(sys, "argv", ["madang", "node", "ls", "--json"])
    _show(silent, terminal)
    assert (terminal.getvalue(), silent.asked) == ("", 0)


def test_what_a_job_is_told_is_its_own(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["madang", "run", "--", "report", "--json"])
    _show(Server(DISKS.id), terminal)
    assert terminal.getvalue() == "new disks\n"


def test_another_maintenance_is_shown_again(terminal: Terminal) -> None:
    for mark in ("maintenance-1", "maintenance-1", "maintenance-2"):
        _show(Server(mark), terminal)
    assert terminal.getvalue().count("moving") == 2


def test_a_server_that_is_gone_is_asked_another_time(terminal: Terminal) -> None:
    _show(Server(DISKS.id, away=True), terminal)
    _show(Server(DISKS.id), terminal)
    assert terminal.getvalue() == "new disks\n"


def test_a_file_that_cannot_be_read_or_written_breaks_nothing(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "madang").write_text("in the way")
    _show(Server(DISKS.id), terminal)
    _show(Server(DISKS.id), terminal)
    assert terminal.getvalue() == "new disks\nnew disks\n"
