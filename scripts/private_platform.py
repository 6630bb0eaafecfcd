"""A Madang of its own for the demo and the benchmarks: own data directory, own port, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from madang.schemas.agent import EnvironmentState
from madang.sdk import Client

ROOT = Path(__file__).resolve().parent.parent
RUNTIME = "MADANG_RUNTIME"
START_SECONDS = 300  # the first start builds an environment
STOP_SECONDS = 60


class PlatformFailed(Exception):
    """`madang up` did not start or did not stop; the message says what it printed."""


class PrivatePlatform:
    """Runs `madang up` in a temporary data directory on a free port; on leaving, stops it and removes everything.

    `show` gets each line it prints. Built environments are kept in the clone's build directory for the next time.
    """

    def __init__(self, show: Callable[[str], None] = lambda line: None) -> None:
        self._show = show
        self._home = Path(tempfile.mkdtemp(prefix="madang-"))
        self._home.chmod(0o711 if os.geteuid() == 0 else 0o700)
        self.data_dir = self._home / "data"
        self._process: subprocess.Popen[str] | None = None
        self._printed: list[str] = []
        self.url = ""
        self.token = ""

    def __enter__(self) -> PrivatePlatform:
        try:
            self.start()
        except BaseException:
            self._clean()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._clean()

    def start(self) -> float:
        """Start it and return the seconds until it told where it listens, which it does when it is healthy."""
        self._link_store()
        connection = self.data_dir / "connection.json"
        connection.unlink(missing_ok=True)
        # What a user has set for their own Madang must not reach this one, their database least of all.
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("MADANG_") or name == RUNTIME
        }
        environment |= {"MADANG_DATA_DIR": str(self.data_dir), "MADANG_PORT": "0", "MADANG_LOGIN_HINT": "false"}
        environment.setdefault("UV_CACHE_DIR", str(ROOT / "build" / "cache" / "uv"))
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [str(Path(sys.executable).parent / "madang"), "up"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for the demo, which then stops it in order
        )
        self._printed = []
        reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        reader.start()
        while not connection.exists():
            if self._process.poll() is not None:
                reader.join(5)
                raise PlatformFailed("madang up ended before it was ready:\n" + "".join(self._printed[-30:]))
            if time.perf_counter() - began > START_SECONDS:
                raise PlatformFailed(f"madang up was not ready in {START_SECONDS} s:\n" + "".join(self._printed[-30:]))
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        told = json.loads(connection.read_text())
        self.url, self.token = told["url"], told["token"]
        return seconds

    def stop(self) -> None:
        """Stop it as Ctrl-C does. Raises PlatformFailed when it does not end in time or ends with an error."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise PlatformFailed(f"madang up did not stop in {STOP_SECONDS} s.") from None
        if code != 0:
            raise PlatformFailed(f"madang up ended with exit code {code}:\n" + "".join(self._printed[-30:]))

    def processes(self) -> list[psutil.Process]:
        """Every process of this platform: those that name its data directory, and their descendants."""
        found = {process.pid: process for process in self._named()}
        for process in list(found.values()):
            try:
                found |= {child.pid: child for child in process.children(recursive=True)}
            except psutil.NoSuchProcess:
                continue
        found.pop(os.getpid(), None)
        return list(found.values())

    def _named(self) -> Iterator[psutil.Process]:
        place = str(self.data_dir)
        for process in psutil.process_iter():
            try:
                if place in process.environ().get("MADANG_DATA_DIR", "") or place in " ".join(process.cmdline()):
                    yield process
            except psutil.AccessDenied:
                try:
                    if place in " ".join(process.cmdline()):
                        yield process
                except psutil.Error:
                    continue
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue

    def wait_until_gone(self, seconds: float) -> list[psutil.Process]:
        """Wait until no process is left; returns those that still are after so many seconds."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._printed.append(line)
            self._show(line.rstrip("\n"))

    def _link_store(self) -> None:
        self.data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, exist_ok=True)
        store = ROOT / "build" / "environments"
        place = self.data_dir / "environments"
        if place.exists():
            return
        store.mkdir(parents=True, exist_ok=True)
        place.symlink_to(store)

    def _clean(self) -> None:
        for process in self.wait_until_gone(5):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        for directory, _, _ in os.walk(self._home):
            Path(directory).chmod(0o700)
        shutil.rmtree(self._home)


def wait_for_environment(client: Client, name: str, console: Console) -> None:
    """Have an environment built if it is not, and wait for it with a progress bar. Raises PlatformFailed."""
    status = client.environments.get(name)
    if status.state is EnvironmentState.READY:
        return
    client.environments.build(name)
    columns = (TextColumn("  environment {task.fields[name]}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=1.0, name=name)
        while (status := client.environments.get(name)).state is not EnvironmentState.READY:
            if status.state is EnvironmentState.FAILED:
                raise PlatformFailed(f"The environment {name} could not be built: {status.message}")
            progress.update(task, completed=status.progress or 0.0)
            time.sleep(0.2)
        progress.update(task, completed=1.0)
