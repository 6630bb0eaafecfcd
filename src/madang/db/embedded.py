"""The embedded PostgreSQL: made at the first start, adopted when it still runs, started again when it dies."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import structlog

from madang.db.binaries import programs, remove_other_programs, require_reachable, server_user
from madang.db.postmaster import processes_of, read_pid_file, serves, wait_gone
from madang.domain.errors import StartupError

_log = structlog.get_logger(__name__)

OWNER: Final = "madang"
"""The database role of the platform."""

_SOCKET_LOCK: Final = ".s.PGSQL.5432.lock"
_SOCKET_PATH_LIMIT: Final = 107  # bytes of sun_path, without the closing zero
_LOG_LIMIT: Final = 8 << 20
_ROOM_NEEDED: Final = 64 << 20
_START_SECONDS: Final = 120.0  # recovery after a crash included
_SHARED_MEMORY: Final = "pre-existing shared memory block"

# Tuned for one small tenant: little memory, few processes, no network. Everything durable stays on.
_CONFIG: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "32MB",
    "max_connections": "50",
    "max_worker_processes": "2",
    "max_parallel_workers": "0",
    "max_logical_replication_workers": "0",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "max_wal_size": "256MB",
    "io_method": "sync",
    "jit": "off",
    "huge_pages": "off",
    "autovacuum_max_workers": "1",
    "autovacuum_worker_slots": "2",
    "autovacuum_naptime": "10s",  # plans that were made for empty tables are made anew soon after a burst
    "checkpoint_timeout": "15min",
    "log_checkpoints": "off",
    "log_min_messages": "warning",
    "timezone": "UTC",
}


class EmbeddedPostgres:
    """One private server on a Unix socket that only its own user and root can reach, with a password on top."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir.resolve()
        self._data = self._root / "postgres"
        self._password_file = self._root / "postgres.password"
        self._log_file = self._root / "log" / "postgres.log"
        self._user = server_user()
        self._uid = self._user.uid if self._user.other else None
        self._gid = self._user.gid if self._user.other else None
        self._no_groups: list[int] | None = [] if self._user.other else None
        self._socket_dir = self._root / "run" / "postgres"
        self._bin = Path()
        self._pid = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self.adopted = False
        self.first_start = False

    @property
    def pid(self) -> int:
        """The process id of the postmaster now."""
        return self._pid

    def url(self, database: str = "postgres") -> str:
        """How to connect. It holds the password, so it must never be logged or shown."""
        password = self._password_file.read_text().strip()
        return f"postgresql://{OWNER}:{password}@/{database}?host={quote(str(self._socket_dir), safe='')}"

    async def start(self) -> None:
        """Bring the server up, or adopt one that still runs. Raises StartupError saying what to do."""
        try:
            await asyncio.to_thread(self._prepare)
            if not (self._data / "PG_VERSION").exists():
                self.first_start = True
                await asyncio.to_thread(self._initialise)
            self._check_version()
            await self._adopt_or_launch()
        except OSError as error:
            raise StartupError(f"The database in {self._root} cannot be prepared: {error}.") from error
        self._supervisor = asyncio.create_task(self._supervise(), name="postgres supervisor")

    async def stop(self) -> None:
        """End the server in an orderly way; connections that are still open are cut."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with suppress(asyncio.CancelledError):
                await self._supervisor
            self._supervisor = None
        if self._child is not None:
            self._pid = self._child.pid  # also one whose start was cut short
        if not self._pid:
            return
        for number, seconds in ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            if not serves(self._pid, self._data):
                break
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)
            with suppress(TimeoutError):
                await asyncio.wait_for(wait_gone(self._pid), seconds)
        self._reap()
        self._pid = 0
        if self._socket_dir.parent != self._root / "run":
            shutil.rmtree(self._socket_dir, ignore_errors=True)

    def _prepare(self) -> None:
        self._root.mkdir(mode=0o711 if self._user.other else 0o700, parents=True, exist_ok=True)
        for name in ("run", "log"):
            (self._root / name).mkdir(mode=0o711 if self._user.other else 0o700, exist_ok=True)
        require_reachable(self._root / "run", self._user)
        if shutil.disk_usage(self._root).free < _ROOM_NEEDED:
            raise StartupError(
                f"The disk of {self._root} is full: less than 64 MiB are free. Make room, or set MADANG_DATA_DIR to "
                "another disk."
            )
        self._bin = programs(self._root, self._user)

    def _initialise(self) -> None:
        """Make the data directory under another name and rename it, so that it is whole or not there at all."""
        partial = self._root / ".postgres.partial"
        shutil.rmtree(partial, ignore_errors=True)
        if self._data.exists():
            self._data.rmdir()  # fails when it holds anything: without PG_VERSION that is not ours to delete
        partial.mkdir(mode=0o700)
        password = partial / "password"
        _write_private(password, secrets.token_urlsafe(32))
        if self._user.other:
            os.chown(password, self._user.uid, self._user.gid)
            os.chown(partial, self._user.uid, self._user.gid)
        command = [str(self._bin / "initdb"), "-D", str(partial / "data"), "-U", OWNER, f"--pwfile={password}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"]
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=_environment(),
            user=self._uid,
            group=self._gid,
            extra_groups=self._no_groups,
        )
        if result.returncode != 0:
            shutil.rmtree(partial, ignore_errors=True)
            raise StartupError(self._explain(result.stderr, "The database could not be made"))
        (partial / "data" / "pg_hba.conf").write_text("local all all scram-sha-256\n")
        _write_private(self._password_file, password.read_text())
        (partial / "data").rename(self._data)
        _sync_directory(self._root)
        shutil.rmtree(partial, ignore_errors=True)

    def _check_version(self) -> None:
        made_by = (self._data / "PG_VERSION").read_text().strip()
        have = subprocess.run([str(self._bin / "postgres"), "-V"], capture_output=True, text=True, check=True)
        version = have.stdout.split()[-1].split(".")[0]
        if made_by != version:
            raise StartupError(
                f"The data in {self._data} was made by PostgreSQL {made_by}, and this Madang brings {version}. Start "
                "the earlier Madang, save the data with pg_dump, move the directory away, and load it into the new one."
            )
        if not self._password_file.exists():
            raise StartupError(
                f"{self._password_file} is missing: restore it, without it the database cannot be opened."
            )

    async def _adopt_or_launch(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while (found := read_pid_file(self._data)) is not None and serves(found.pid, self._data):
            if found.status == "ready" and found.socket_dir is not None:
                self._pid, self._socket_dir, self.adopted = found.pid, found.socket_dir, True
                return
            if time.monotonic() > deadline:
                raise StartupError(f"PostgreSQL (process {found.pid}) neither starts nor stops; see {self._log_file}.")
            await asyncio.sleep(0.02)
        await self._clear_stale(deadline)
        await asyncio.to_thread(self._make_socket_dir)
        await self._launch()
        if self._user.other:
            await asyncio.to_thread(remove_other_programs, self._root, self._bin)

    async def _clear_stale(self, deadline: float) -> None:
        """Remove the lock files of a server that is dead.

        PostgreSQL takes the number in them for alive when any process has it, also a zombie or another program. They
        may only go once no backend of the dead server is left: two servers on one directory would destroy it.
        """
        found = read_pid_file(self._data)
        locks = [self._data / "postmaster.pid", self._socket_dir / _SOCKET_LOCK]
        if not any(lock.exists() for lock in locks):
            return
        while await asyncio.to_thread(processes_of, self._data):
            if time.monotonic() > deadline:
                raise StartupError(f"Processes of an earlier PostgreSQL on {self._data} do not end; end them.")
            await asyncio.sleep(0.02)
        for lock in locks:
            lock.unlink(missing_ok=True)
        if found is not None and found.socket_dir != self._socket_dir:
            _remove_temporary(found.socket_dir)

    def _make_socket_dir(self) -> None:
        if len(os.fsencode(self._socket_dir / _SOCKET_LOCK)) > _SOCKET_PATH_LIMIT:
            runtime = os.environ.get("XDG_RUNTIME_DIR") if not self._user.other else None
            base = runtime if runtime and len(os.fsencode(runtime)) < 60 and Path(runtime).is_dir() else "/tmp"
            self._socket_dir = Path(tempfile.mkdtemp(prefix="madang-pg-", dir=base))
        self._socket_dir.mkdir(mode=0o700, exist_ok=True)
        if self._user.other:
            os.chown(self._socket_dir, self._user.uid, self._user.gid)

    async def _launch(self) -> None:
        """Start the server and wait until it takes connections."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            child, mark = await asyncio.to_thread(self._spawn)
            while (ended := child.poll()) is None and time.monotonic() < deadline:
                found = read_pid_file(self._data)
                if found is not None and found.pid == child.pid and found.status == "ready":
                    self._pid = child.pid
                    return
                await asyncio.sleep(0.005)
            said = self._log_file.read_bytes()[mark:].decode(errors="replace")
            if ended is None:
                child.kill()
                raise StartupError(f"PostgreSQL did not become ready in {_START_SECONDS:.0f} s; see {self._log_file}.")
            if _SHARED_MEMORY not in said or time.monotonic() > deadline:
                raise StartupError(self._explain(said, "PostgreSQL does not start"))
            await asyncio.sleep(0.1)  # backends of a killed server are still ending

    def _spawn(self) -> tuple[subprocess.Popen[bytes], int]:
        """Start the process; returns it and the size of the log before."""
        if self._log_file.exists() and self._log_file.stat().st_size > _LOG_LIMIT:
            self._log_file.replace(self._log_file.with_suffix(".log.1"))
        command = [str(self._bin / "postgres"), "-D", str(self._data), "-k", str(self._socket_dir)]
        for name, value in _CONFIG.items():
            command += ["-c", f"{name}={value}"]
        with self._log_file.open("ab") as log:
            mark = log.tell()
            # In a session of its own, so that Ctrl-C on the terminal reaches Madang alone and it ends in order.
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(),
                user=self._uid,
                group=self._gid,
                extra_groups=self._no_groups,
                start_new_session=True,
            )
        return self._child, mark

    async def _supervise(self) -> None:
        """Start the server again whenever it ends. When single backends die it recovers by itself."""
        while True:
            await wait_gone(self._pid)
            self._reap()
            _log.warning("database_died", pid=self._pid, advice=f"It is started again; see {self._log_file}.")
            delay = 0.5
            while True:
                try:
                    await self._clear_stale(time.monotonic() + _START_SECONDS)
                    await self._launch()
                    break
                except (StartupError, OSError) as error:
                    _log.error("database_does_not_start", error=str(error), again_in_seconds=delay)
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, 10.0)
            _log.warning("database_recovered", pid=self._pid)

    def _reap(self) -> None:
        if self._child is not None and self._child.poll() is not None:
            self._child = None

    def _explain(self, said: str, what: str) -> str:
        if "No space left on device" in said:
            return f"{what}: the disk of {self._root} is full. Make room and start again."
        lines = [line for line in said.splitlines() if "FATAL" in line or "PANIC" in line or "error:" in line]
        reason = lines[-1].strip() if lines else said.strip()[-300:] or "it gave no reason"
        return f"{what}: {reason}. See {self._log_file}."


def _environment() -> dict[str, str]:
    """Little and fixed: PG* variables of whoever starts Madang must not reach the server."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **kept}


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_temporary(socket_dir: Path | None) -> None:
    """Remove a socket directory that an earlier start made outside the data directory."""
    if socket_dir is not None and socket_dir.name.startswith("madang-pg-"):
        shutil.rmtree(socket_dir, ignore_errors=True)
