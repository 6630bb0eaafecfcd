"""What a user sees without a server: one line and the right exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def madang(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MADANG_")}
    environ |= {"MADANG_LANG": "en", "NO_COLOR": "1", **variables}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling everything anew makes each command three times slower
    command = [sys.executable, "-m", "madang.cli.main", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


AWAY = {"MADANG_URL": "http://127.0.0.1:1", "MADANG_TOKEN": "token"}


@pytest.mark.parametrize("command", [["session", "ls"], ["status"], ["node", "ls", "--json"], ["session", "stop", "x"]])
def test_a_server_that_is_away_is_said_in_one_line(command: list[str]) -> None:
    done = madang(*command, **AWAY)
    assert done.returncode == 1
    assert done.stderr == "error: Madang does not answer at http://127.0.0.1:1; start it with 'madang up'.\n"
    assert done.stdout == ""


def test_run_keeps_125_for_a_madang_that_fails() -> None:
    assert madang("run", "--", "true", **AWAY).returncode == 125


def test_no_server_known(tmp_path: Path) -> None:
    done = madang("session", "ls", MADANG_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "madang up" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ["nonsense"],
        ["run"],
        ["run", "--cpu", "many", "--", "x"],
        ["run", "--name", "Not A Name", "--", "x"],
        ["run", "--download", "../up", "--", "x"],
        ["run", "--detach", "--download", "out", "--", "x"],
        ["session", "stop"],
        ["session", "stop", "a", "--all"],
        ["session", "cp", "a", "b"],
        ["session", "cp", "one:a", "two:b"],
        ["session", "exec", "-t", "one", "sh"],
        ["session", "ls", "--state", "asleep"],
        ["up", "--port", "70000"],
        ["up", "--runtime", "magic"],
    ],
)
def test_bad_input_ends_with_2_and_no_traceback(command: list[str]) -> None:
    done = madang(*command, **AWAY)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_version_and_help() -> None:
    assert madang("--version").stdout.startswith("madang ")
    listed = madang("--help").stdout
    assert all(noun in listed for noun in ("up", "run", "status", "doctor", "session", "node", "environment"))


def test_completion_offers_nothing_when_the_server_is_away() -> None:
    variables = {"_MADANG_COMPLETE": "complete_bash", "COMP_WORDS": "madang session show ", "COMP_CWORD": "3", **AWAY}
    done = subprocess.run(
        [Path(sys.executable).parent / "madang"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")
