"""`madang session` and the listings, in front of a real platform."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.conftest import MADANG, Up, wait_for


@pytest.fixture
def session(up: Up) -> Iterator[str]:
    name = "guest"
    assert (
        up.job("sh", "-c", "echo started; exec sleep 1000", options=("--detach", "--name", name)).stdout == b"guest\n"
    )
    wait_for(lambda: json.loads(up.run("session", "show", name, "--json").stdout)["state"] == "running")
    yield name
    up.run("session", "rm", "--force", name)


def test_listings_are_tables_or_json(up: Up, session: str) -> None:
    assert session in up.run("session", "ls").stdout.decode()
    listed = json.loads(up.run("session", "ls", "--json").stdout)
    assert [one["name"] for one in listed if one["state"] == "running"] == [session]
    nodes = json.loads(up.run("node", "ls", "--json").stdout)
    assert nodes[0]["used"]["cpu"] == 1000
    assert nodes[0]["name"] in up.run("node", "show", nodes[0]["name"]).stdout.decode()
    environments = {one["name"]: one["state"] for one in json.loads(up.run("environment", "ls", "--json").stdout)}
    assert environments["bare"] == "ready"
    assert environments["python"] == "missing"
    status = json.loads(up.run("status", "--json").stdout)
    assert status["health"]["status"] == "ok"
    assert status["sessions"] == {"running": 1}
    for command in (["session", "show", session], ["environment", "ls"], ["status"], ["node", "ls"]):
        assert up.run(*command).returncode == 0


def test_exec_passes_streams_and_exit_code(up: Up, session: str) -> None:
    done = up.run("session", "exec", "-i", session, "--", "sh", "-c", "cat; echo e >&2; exit 5", stdin=b"\x00in\xff")
    assert (done.returncode, done.stdout, done.stderr) == (5, b"\x00in\xff", b"e\n")
    assert up.run("session", "exec", session, "cat", stdin=b"not passed").stdout == b""


def test_exec_with_a_terminal_has_its_size_and_gives_it_back_as_it_was(up: Up, session: str) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    before = termios.tcgetattr(slave)
    command = [*MADANG, "session", "exec", "-it", session, "--", "sh", "-c", "stty size; read x; stty size; exit 4"]
    process = subprocess.Popen(command, env=up.environ, stdin=slave, stdout=slave, stderr=slave)
    assert "33 77" in read_until(master, "33 77")
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 88, 0, 0))
    process.send_signal(signal.SIGWINCH)
    time.sleep(0.3)  # the new size travels beside the keys; nothing else tells when it has arrived
    os.write(master, b"\r")
    assert "44 88" in read_until(master, "44 88")
    assert process.wait(20) == 4
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def read_until(descriptor: int, text: str) -> str:
    seen = ""
    while text not in seen:
        seen += os.read(descriptor, 4096).decode()
    return seen


def test_logs_of_a_running_and_an_ended_session(up: Up, session: str) -> None:
    assert up.run("session", "logs", session).stdout == b"started\n"
    follower = up.popen("session", "logs", "-f", session)
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"started\n"
    up.run("session", "stop", session, "--grace", "0")
    assert follower.wait(20) == 0
    assert up.run("session", "logs", session).stdout == b"started\n"


def test_files_are_copied_both_ways(up: Up, session: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "file").write_bytes(b"\x00\xff")
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o755)

    def cp(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return up.run("session", "cp", *arguments, stdin=stdin, cwd=tmp_path)

    assert cp("source", f"{session}:").returncode == 0
    assert cp("source/.", f"{session}:flat").returncode == 0
    assert cp("source/run.sh", f"{session}:source/deep").returncode == 0
    assert cp("-", f"{session}:typed.txt", stdin=b"typed").returncode == 0
    listing = up.run("session", "exec", session, "find", ".", "-type", "f").stdout.decode().split()
    expected = ["./flat/deep/file", "./flat/run.sh", "./source/deep/file", "./source/deep/run.sh", "./source/run.sh"]
    assert sorted(listing) == [*expected, "./typed.txt"]

    assert cp(f"{session}:typed.txt", "-").stdout == b"typed"
    assert cp(f"{session}:source", "back").returncode == 0
    assert (tmp_path / "back" / "deep" / "file").read_bytes() == b"\x00\xff"
    assert os.access(tmp_path / "back" / "run.sh", os.X_OK)
    assert cp(f"{session}:typed.txt", "back").returncode == 0
    assert (tmp_path / "back" / "typed.txt").read_bytes() == b"typed"
    missing = cp(f"{session}:nothing", "x")
    assert missing.returncode == 1
    assert b"'nothing'" in missing.stderr
    assert cp("../../etc", f"{session}:../up").returncode == 2


def test_a_living_session_is_not_removed_by_accident(up: Up, session: str) -> None:
    done = up.run("session", "rm", session)
    assert done.returncode == 1
    assert b"--force" in done.stderr
    assert up.run("session", "rm", "--force", session).returncode == 0
    assert up.run("session", "show", session).returncode == 1


def test_completion_offers_names(up: Up, session: str) -> None:
    environ = {**up.environ, "_MADANG_COMPLETE": "complete_bash", "COMP_CWORD": "3"}
    for words, offered in (("madang session show gu", session), ("madang environment build ba", "bare")):
        environ["COMP_WORDS"] = words
        madang = Path(sys.executable).with_name("madang")  # completion goes by the program's name
        done = subprocess.run([madang], env=environ, capture_output=True, text=True, check=False)
        assert offered in done.stdout, done.stderr


def test_a_stopped_platform_leaves_sessions_running_and_takes_them_up_again(own_up: Up) -> None:
    own_up.job("sh", "-c", "echo before; sleep 1000", options=("--detach", "--name", "long"))
    wait_for(lambda: own_up.run("session", "logs", "long").stdout == b"before\n")
    assert own_up.stop(signal.SIGINT) == 0
    assert "Sessions still running: 1" in own_up.said()
    assert own_up.run("session", "ls").returncode == 1
    own_up.start()
    assert json.loads(own_up.run("session", "show", "long", "--json").stdout)["state"] == "running"
    assert own_up.run("session", "logs", "long").stdout == b"before\n"
    own_up.run("session", "stop", "long", "--grace", "0")
    assert own_up.stop(signal.SIGTERM) == 0
    assert own_up.said().endswith("Stopped.\n")
