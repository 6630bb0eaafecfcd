"""`madang run`: what comes out is what the job wrote, and it ends as the job ended."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.integration.cli.conftest import MADANG, Up, wait_for


def state(up: Up, name: str) -> str:
    return str(json.loads(up.run("session", "show", name, "--json").stdout)["state"])


def test_output_goes_where_the_job_sent_it_and_its_exit_code_is_ours(up: Up) -> None:
    done = up.job("sh", "-c", "echo hello; echo trouble >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"hello\n", b"trouble\n")
    assert up.job("true").returncode == 0


def test_bytes_pass_unchanged(up: Up) -> None:
    script = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 4096)"
    assert up.job("python", "-c", script).stdout == bytes(range(256)) * 4096


def test_a_signal_is_named(up: Up) -> None:
    killed = up.job("sh", "-c", "kill -KILL $$")
    assert killed.returncode == 137
    assert b"SIGKILL" in killed.stderr


def test_too_much_memory_is_told_apart_from_a_signal(up: Up) -> None:
    if "limits advisory" in up.said():
        pytest.skip("no writable control groups on this machine: limits are advisory")
    hog = up.job("python", "-c", "bytearray(300 << 20)", options=("--mem", "64m"))
    assert hog.returncode == 137
    assert b"out of memory: the session used more than its 64m" in hog.stderr


def test_a_directory_goes_along_without_what_git_ignores_and_results_come_back(up: Up, tmp_path: Path) -> None:
    project = tmp_path / "project"
    for path, content in {
        ".gitignore": "secret.txt\n/cache/\n",
        "secret.txt": "no",
        "cache/x": "no",
        "data/in.txt": "21",
        "job.py": "import os, pathlib\n"
        "pathlib.Path('out/deep').mkdir(parents=True)\n"
        "pathlib.Path('out/deep/answer').write_text(str(2 * int(open('data/in.txt').read())))\n"
        "os.symlink('deep/answer', 'out/link')\n"
        "os.symlink('/etc/passwd', 'out/escape')\n"
        "print(sorted(os.listdir()))\n",
    }.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(content)
    done = up.job("python", "job.py", options=("--dir", str(project), "--download", "out/"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == "['.gitignore', 'data', 'job.py', 'out']\n"
    assert (tmp_path / "out" / "deep" / "answer").read_text() == "42"
    assert (tmp_path / "out" / "link").read_text() == "42"
    assert not (tmp_path / "out" / "escape").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "project"]


def test_a_directory_that_is_too_large_is_not_sent(up: Up, tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(b"0" * (2 << 20))
    done = up.job("true", options=("--dir", str(tmp_path), "--max-size", "1m"))
    assert done.returncode == 2
    assert b"large.bin" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--env", "nowhere"), b"nowhere"),
        (("--cpu", "100000"), b"cpu 100000"),
        (("--slot", "fpga=1"), b"No node of group 'default' has any fpga"),
        (("--dir", "/nonexistent/place"), b"/nonexistent/place"),
    ],
)
def test_what_cannot_be_is_refused_at_once_with_2(up: Up, options: tuple[str, ...], said: bytes) -> None:
    done = up.job("true", options=options)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_name_in_use_is_refused(up: Up) -> None:
    up.job("sleep", "1000", options=("--detach", "--name", "taken"))
    assert up.job("true", options=("--name", "taken")).returncode == 2
    up.run("session", "stop", "taken", "--grace", "0")


def test_ctrl_c_stops_the_session(up: Up) -> None:
    job = up.popen(
        "run", "--env", "bare", "--network", "none", "--name", "stop-me", "--", "sh", "-c", "echo go; sleep 99"
    )
    assert job.stdout is not None
    assert job.stdout.readline() == b"go\n"
    job.send_signal(signal.SIGINT)
    _, said = job.communicate(timeout=30)
    assert job.returncode == 130
    assert b"Stopping stop-me" in said
    assert state(up, "stop-me") == "stopped"


def test_a_second_ctrl_c_leaves_a_session_that_takes_its_time(up: Up) -> None:
    script = "trap 'echo still here' TERM; echo go; while :; do sleep 0.1; done"
    job = up.popen("run", "--env", "bare", "--network", "none", "--name", "slow-end", "--", "sh", "-c", script)
    assert job.stdout is not None
    assert job.stdout.readline() == b"go\n"
    job.send_signal(signal.SIGINT)
    assert job.stdout.readline() == b"still here\n"
    job.send_signal(signal.SIGINT)
    _, said = job.communicate(timeout=5)
    assert job.returncode == 130
    assert b"Left slow-end" in said
    assert state(up, "slow-end") == "terminating"
    assert up.run("session", "stop", "slow-end", "--grace", "0").returncode == 0


def test_a_reader_that_goes_away_ends_the_session(up: Up) -> None:
    command = [*MADANG, "run", "--env", "bare", "--network", "none", "--name", "flood", "--", "yes"]
    with subprocess.Popen(command, env=up.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == b"y\n"
        job.stdout.close()
        assert job.wait(30) == 141
    wait_for(lambda: state(up, "flood") == "stopped")


def test_a_session_that_has_to_wait_says_why_once(up: Up) -> None:
    node = json.loads(up.run("node", "ls", "--json").stdout)[0]
    everything = str(node["slots"]["cpu"] // 1000)
    up.job("sleep", "1000", options=("--detach", "--name", "hog", "--cpu", everything))
    job = up.popen("run", "--env", "bare", "--network", "none", "--name", "patient", "--", "echo", "my turn")
    assert job.stderr is not None
    line = job.stderr.readline().decode()
    assert line.startswith("patient waits: ")
    assert "cpu" in line
    up.run("session", "stop", "hog", "--grace", "0")
    said, more = job.communicate(timeout=30)
    assert (job.returncode, said, more) == (0, b"my turn\n", b"")


def test_variables_arrive(up: Up) -> None:
    done = up.job("sh", "-c", "echo $GREETING", options=("-e", "GREETING=hello there"))
    assert done.stdout == b"hello there\n"


def test_a_second_instance_and_a_taken_port_are_refused(up: Up, data_dir: Path) -> None:
    second = up.run("up", "--port", "0")
    assert second.returncode == 1
    assert b"already runs" in second.stderr
    assert b"listening on" not in second.stderr
    assert b"warning: listening on 0.0.0.0" in up.run("up", "--port", "0", "--host", "0.0.0.0").stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        other = up.run("up", "--port", port, "--data-dir", str(data_dir))
    assert other.returncode == 1
    assert f"Port {port}".encode() in other.stderr
    assert not (data_dir / "postgres").exists()
