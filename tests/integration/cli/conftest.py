"""A platform that `madang up` really started, and the command line in front of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from madang.agent.environments.builder import unseal_and_delete
from tests.conftest import open_directory

START_SECONDS = 60
MADANG = (sys.executable, "-m", "madang.cli.main")


class Up:
    """A data directory, the `madang up` that runs on it, and commands that speak to it."""

    def __init__(self) -> None:
        self.data_dir = open_directory()
        (self.data_dir / "manifests").mkdir()
        (self.data_dir / "manifests" / "bare.toml").write_text("packages = []")
        self.log = self.data_dir / "up.out"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environ(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MADANG_")}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling everything anew makes each command three times slower
        return {
            **kept,
            "MADANG_DATA_DIR": str(self.data_dir),
            "MADANG_LANG": "en",
            "NO_COLOR": "1",
            "XDG_CONFIG_HOME": str(self.data_dir / "config"),
        }

    def start(self, *options: str) -> None:
        with self.log.open("wb") as log:
            command = [*MADANG, "up", "--port", "0", "--no-prebuild", *options]
            self._process = subprocess.Popen(command, env=self.environ, stdout=log, stderr=log)
        wait_for(lambda: "Madang is ready" in self.said() or self._ended(), START_SECONDS)
        assert not self._ended(), self.said()
        self.run("environment", "build", "bare")

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(30)
        self._process = None
        return code

    def close(self) -> None:
        if self._process is not None:
            self.run("session", "stop", "--all", "--grace", "0")
            self.stop()
        unseal_and_delete(self.data_dir / "environments")  # read-only, as an ordinary user would notice
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def said(self) -> str:
        return self.log.read_text()

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def run(self, *arguments: str, stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*MADANG, *arguments], env=self.environ, input=stdin, capture_output=True, cwd=cwd, timeout=60, check=False
        )

    def popen(self, *arguments: str, stdin: int | IO[bytes] = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*MADANG, *arguments], env=self.environ, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def job(
        self, *command: str, options: tuple[str, ...] = (), cwd: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """`madang run` in an environment that needs nothing."""
        return self.run("run", "--env", "bare", "--network", "none", *options, "--", *command, cwd=cwd)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(scope="package")
def up() -> Iterator[Up]:
    made = Up()
    made.start()
    yield made
    made.close()


@pytest.fixture
def own_up() -> Iterator[Up]:
    """One that a test may stop."""
    made = Up()
    made.start()
    yield made
    made.close()
