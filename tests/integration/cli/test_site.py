"""Groups' access, presets, announcements and maintenance from the command line and from Python."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from madang.domain.errors import UnderMaintenance
from madang.sdk import Client
from tests.integration.cli.conftest import MADANG, Up


def _json(up: Up, *arguments: str) -> Any:
    done = up.run(*arguments, "--json")
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def _in_terminal(up: Up, *arguments: str) -> str:
    """What a command writes to standard error when that is a terminal."""
    reader, writer = pty.openpty()
    environ = {**up.environ, "XDG_STATE_HOME": str(up.data_dir / "state")}
    subprocess.run(
        [*MADANG, *arguments], env=environ, stdout=subprocess.DEVNULL, stderr=writer, timeout=60, check=False
    )
    os.close(writer)
    os.set_blocking(reader, False)
    try:
        return os.read(reader, 65536).decode()
    except (BlockingIOError, OSError):
        return ""
    finally:
        os.close(reader)


@pytest.fixture
def client(up: Up) -> Iterator[Client]:
    connection = json.loads((up.data_dir / "connection.json").read_text())
    with Client(connection["url"], connection["token"]) as made:
        yield made
        made.maintenance.off()


def test_a_group_is_opened_to_some_and_to_everybody_again(up: Up) -> None:
    up.run("user", "add", "lee")
    assert _json(up, "group", "set", "lab", "queue=fifo", "--allow-user", "lee", "--allow-domain", "default")[
        "access"
    ] == {"domains": ["default"], "projects": [], "users": ["lee"]}
    assert b"DOMAIN default, USER lee" in up.run("group", "show", "lab").stdout
    changed = _json(up, "group", "set", "lab", "--allow-project", "default", "--disallow-domain", "default")
    assert changed["access"] == {"domains": [], "projects": ["default"], "users": ["lee"]}
    assert changed["policy"]["queue"] == "fifo"
    assert b"no user 'nobody'" in up.run("group", "set", "lab", "--allow-user", "nobody").stderr
    assert up.run("group", "set", "lab", "--allow-everybody", "--allow-user", "lee").returncode == 2
    assert _json(up, "group", "set", "lab", "--allow-everybody")["access"] == "everybody"
    assert b"open to everybody; say" in up.run("group", "set", "lab", "--disallow-user", "lee").stderr


def test_presets_from_the_first_start(up: Up) -> None:
    first = {one["name"]: one["slots"] for one in _json(up, "preset", "ls")}
    assert first["small"]["cpu"] >= 1000
    assert _json(up, "preset", "add", "mini", "cpu=0.2", "mem=64m", "--title", "For a try")["title"] == "For a try"
    done = up.job("true", options=("--preset", "mini", "--name", "with-preset", "--mem", "128m"))
    assert done.returncode == 0, done.stderr.decode()
    assert _json(up, "session", "show", "with-preset")["slots"] == {"cpu": 200, "mem": 128 << 20}
    assert b"has no preset 'nope'. Known are:" in up.job("true", options=("--preset", "nope")).stderr
    assert b"can ever hold" in up.run("preset", "add", "huge", "cpu=99999").stderr
    assert up.run("preset", "rm", "mini").stdout == b"mini\n"


def test_announcements_are_shown_once_in_a_terminal(up: Up, client: Client) -> None:
    made = _json(up, "announcement", "add", "New disks on Friday", "--ko", "금요일 디스크 교체", "--level", "warning")
    assert "New disks" not in _in_terminal(up, "node", "ls", "--json")
    assert "New disks on Friday" in _in_terminal(up, "node", "ls")
    assert "New disks" not in _in_terminal(up, "node", "ls")
    client.server()
    assert client.notices == (made["id"],)
    assert up.run("node", "ls").stderr == b""  # no terminal
    assert [one.message["ko"] for one in client.announcements.list()] == ["금요일 디스크 교체"]
    assert up.run("announcement", "rm", made["id"]).returncode == 0
    client.server()
    assert not client.notices


def test_maintenance_from_the_command_line(up: Up, client: Client) -> None:
    assert b"no maintenance" in up.run("maintenance", "status").stdout
    assert b"until" in up.run("maintenance", "on", "--message", "moving", "--until", "+2h").stdout
    state = _json(up, "maintenance", "status")
    assert (state["on"], state["message"], state["by"]) == (True, {"en": "moving"}, "admin")
    done = up.job("true")
    assert done.returncode != 0
    assert b"under maintenance until" in done.stderr
    assert up.run("run", "--dry-run", "--", "true").returncode != 0
    with pytest.raises(UnderMaintenance, match="moving"):
        client.sessions.create(["true"])
    assert "moving" in _in_terminal(up, "node", "ls")
    assert not _json(up, "maintenance", "off")["on"]
    assert up.job("true").returncode == 0
