"""The store of built environments: content-addressed, built once, shared read-only, and never half there."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import platform
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import ValidationError

from madang.agent.environments import builder
from madang.agent.environments.builder import Plan
from madang.agent.environments.interpreters import Interpreter, find_interpreter
from madang.agent.environments.manifest import BadManifest, Manifest, read_manifests
from madang.agent.environments.resolver import machine_variant
from madang.agent.environments.sources import pip_options, uv_environment
from madang.agent.environments.uvtool import CommandFailed
from madang.domain.errors import InvalidInput, MadangError, NotFound, StorageFull, Unavailable
from madang.domain.ids import Clock
from madang.schemas.agent import EnvironmentState, EnvironmentStatus
from madang.schemas.base import Wire

_TEMPORARY: Final = ".building-"
_LOCKS: Final = ".locks"
_RECORD: Final = ".madang.json"
_LOCK_POLL_SECONDS: Final = 0.1
_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Environment:
    """An environment that is ready: mount `path` (and `python_home`) read-only at the same place and run."""

    name: str
    digest: str
    path: Path  # a virtual environment
    python_home: Path | None  # prefix of its base Python when that lies outside /usr
    variables: Mapping[str, str]  # PATH, VIRTUAL_ENV and those of the manifest


class _Record(Wire):
    """What is written into a finished environment."""

    format: int
    name: str
    digest: str
    python: str
    python_home: str | None
    built_at: str  # ISO 8601
    size_bytes: int
    packages: list[str]  # pinned


@dataclass
class _Build:
    """A build that runs, and how far it is."""

    task: asyncio.Task[Environment]
    progress: float = 0.0
    message: str = "starting"

    def report(self, progress: float, message: str) -> None:
        self.progress = max(self.progress, min(progress, 1.0))
        self.message = message


@dataclass(frozen=True)
class _Target:
    """A manifest as it has to be built on this machine."""

    manifest: Manifest
    plan: Plan
    digest: str

    @property
    def directory(self) -> str:
        return f"{self.manifest.name}-{self.digest[:16]}"


class EnvironmentStore:
    """All environments of a node. Made once; `close` before the event loop ends.

    Args:
        root: directory of the store; made when missing. Safe to share between processes.
        manifests: directories of *.toml; later ones override earlier ones by name. Read again whenever they change.
        cache: uv's cache; on the same file system as `root` its files are shared by hard links.
        clock: tells when an environment was built.
    """

    def __init__(self, root: Path, manifests: Sequence[Path], cache: Path, clock: Clock) -> None:
        self._root = root
        self._directories = tuple(manifests)
        self._cache = cache
        self._clock = clock
        self._variant = machine_variant()
        self._builds: dict[str, _Build] = {}  # by directory
        self._failures: dict[str, str] = {}  # by directory
        self._ready: dict[str, Environment] = {}  # by directory
        self._sizes: dict[str, int] = {}  # by directory
        self._targets: dict[str, _Target] = {}  # by name, for the manifests of `_seen`
        self._manifests: Mapping[str, Manifest | BadManifest] = {}
        self._seen: tuple[tuple[str, int, int], ...] | None = None
        self._closed = False
        (root / _LOCKS).mkdir(parents=True, exist_ok=True)
        root.chmod(0o755)
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep()

    def names(self) -> list[str]:
        """All names, those of unusable manifests included."""
        return list(self._read())

    def statuses(self) -> list[EnvironmentStatus]:
        """Every environment, sorted by name."""
        return [self._status(name, entry) for name, entry in self._read().items()]

    def ready(self, name: str) -> Environment | None:
        """The environment if it is built as its manifest is now. A few microseconds once it has been seen."""
        entry = self._read().get(name)
        if not isinstance(entry, Manifest):
            return None
        try:
            return self._built(self._target(entry))
        except MadangError:
            return None  # its Python is gone: `ensure` says so

    async def ensure(self, name: str) -> Environment:
        """The environment, built first when it is missing; concurrent calls share one build.

        Raises NotFound, InvalidInput for an unusable manifest, Unavailable with the last lines of the tool that
        failed, or StorageFull; after an error nothing is left and the next call tries again. A caller that is
        cancelled does not end the build.
        """
        entry = self._read().get(name)
        if entry is None:
            raise NotFound(f"There is no environment '{name}'; there are {', '.join(self.names()) or 'none'}.")
        if isinstance(entry, BadManifest):
            raise entry.error
        target = self._target(entry)
        environment = self._built(target)
        if environment is not None:
            return environment
        if self._closed:
            raise Unavailable(f"The node is stopping, so environment '{name}' is not built now.")
        build = self._builds.get(target.directory)
        if build is None:
            build = _Build(asyncio.create_task(self._build(target), name=f"build-{target.directory}"))
            self._builds[target.directory] = build
            build.task.add_done_callback(lambda _: self._builds.pop(target.directory, None))
        try:
            return await asyncio.shield(build.task)
        except asyncio.CancelledError:
            if build.task.cancelled():
                raise Unavailable(f"Building environment '{name}' was interrupted because the node stops.") from None
            raise

    async def close(self) -> None:
        """End running builds and delete what they have so far."""
        self._closed = True
        tasks = [build.task for build in self._builds.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- manifests

    def _read(self) -> Mapping[str, Manifest | BadManifest]:
        seen = tuple(self._fingerprint())
        if seen != self._seen:
            self._manifests = read_manifests(self._directories)
            self._targets.clear()
            self._seen = seen
        return self._manifests

    def _fingerprint(self) -> Iterator[tuple[str, int, int]]:
        for directory in self._directories:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.name.endswith(".toml"):
                        info = os.stat(entry.path)
                        yield entry.path, info.st_mtime_ns, info.st_size

    def _target(self, manifest: Manifest) -> _Target:
        target = self._targets.get(manifest.name)
        if target is None:
            python = find_interpreter(manifest.python)
            plan = Plan(manifest.name, manifest.recipe_for(self._variant), python, self._variant)
            target = self._targets[manifest.name] = _Target(manifest, plan, digest_of(plan))
        return target

    def _status(self, name: str, entry: Manifest | BadManifest) -> EnvironmentStatus:
        if isinstance(entry, BadManifest):
            return _unusable(name, entry.error)
        try:
            target = self._target(entry)
        except MadangError as error:
            return _unusable(name, error, entry)
        state, progress, message, size = EnvironmentState.MISSING, None, "", None
        build = self._builds.get(target.directory)
        if self._built(target) is not None:
            state, size = EnvironmentState.READY, self._sizes.get(target.directory)
        elif build is not None:
            state, progress, message = EnvironmentState.BUILDING, build.progress, build.message
        elif target.directory in self._failures:
            state, message = EnvironmentState.FAILED, self._failures[target.directory]
        return EnvironmentStatus(
            name=name,
            description=entry.description,
            state=state,
            digest=target.digest,
            packages=list(target.plan.recipe.packages),
            python=entry.python,
            size_bytes=size,
            progress=progress,
            message=message,
        )

    # -- what is built

    def _built(self, target: _Target) -> Environment | None:
        path = self._root / target.directory
        # Following the link to its base Python also notices when that was uninstalled.
        if not os.access(path / "bin" / "python", os.X_OK):
            self._ready.pop(target.directory, None)
            return None
        environment = self._ready.get(target.directory)
        if environment is None:
            environment = self._load(target, path)
        return environment

    def _load(self, target: _Target, path: Path) -> Environment | None:
        try:
            record = _Record.model_validate_json((path / _RECORD).read_bytes())
        except (OSError, ValidationError):
            return None
        self._failures.pop(target.directory, None)
        self._sizes[target.directory] = record.size_bytes
        environment = Environment(
            name=target.manifest.name,
            digest=target.digest,
            path=path,
            python_home=Path(record.python_home) if record.python_home else None,
            variables=MappingProxyType(
                {**target.manifest.variables, "PATH": f"{path}/bin:{_SYSTEM_PATH}", "VIRTUAL_ENV": str(path)}
            ),
        )
        self._ready[target.directory] = environment
        return environment

    # -- building

    async def _build(self, target: _Target) -> Environment:
        what = f"environment '{target.manifest.name}'"
        report = self._builds[target.directory].report
        try:
            report(0.0, "waiting for another process that builds it")
            async with self._locked(target.directory) as lock:
                # Whoever held the lock before may just have finished it.
                environment = self._built(target) or await self._build_locked(target, lock, report)
        except CommandFailed as failure:
            error = failure.explain(what)
            self._failures[target.directory] = error.message
            raise error from failure
        except OSError as failure:
            error = _disk_error(what, failure)
            self._failures[target.directory] = error.message
            raise error from failure
        except MadangError as error:
            self._failures[target.directory] = error.message
            raise
        return environment

    async def _build_locked(self, target: _Target, lock: int, report: builder.Progress) -> Environment:
        temporary = self._root / f"{_TEMPORARY}{target.directory}"
        venv, work = temporary / "venv", temporary / "work"
        try:
            await asyncio.to_thread(builder.unseal_and_delete, temporary)
            work.mkdir(parents=True)
            environ = dict(os.environ)
            variables = uv_environment(environ, self._cache, pip_options(environ))
            packages = await builder.build(target.plan, venv, work, variables, report, [lock])
            await asyncio.to_thread(self._publish, target, venv, packages)
        finally:
            await asyncio.to_thread(builder.unseal_and_delete, temporary)
        report(1.0, "ready")
        environment = self._built(target)
        if environment is None:
            raise Unavailable(f"Environment '{target.manifest.name}' vanished from {self._root} while it was built.")
        return environment

    def _publish(self, target: _Target, venv: Path, packages: Sequence[str]) -> None:
        home = target.plan.python.home
        size = builder.seal(venv)
        venv.chmod(0o755)  # its owner has to be able to write into it to move it
        record = _Record(
            format=builder.FORMAT,
            name=target.manifest.name,
            digest=target.digest,
            python=target.plan.python.version,
            python_home=str(home) if home else None,
            built_at=self._clock.now().isoformat(),
            size_bytes=size,
            packages=list(packages),
        )
        (venv / _RECORD).write_text(record.model_dump_json(indent=1), encoding="utf-8")
        (venv / _RECORD).chmod(0o444)
        builder.flush(venv)
        final = self._root / target.directory
        builder.unseal_and_delete(final)  # there only if its Python or its record is gone
        venv.rename(final)
        final.chmod(0o555)
        builder.flush(self._root)

    # -- locks

    @contextlib.asynccontextmanager
    async def _locked(self, directory: str) -> AsyncIterator[int]:
        lock = self._open_lock(directory)
        try:
            while not _try_lock(lock):  # noqa: ASYNC110 - the holder may be another process
                await asyncio.sleep(_LOCK_POLL_SECONDS)
            yield lock
        finally:
            os.close(lock)

    def _open_lock(self, directory: str) -> int:
        return os.open(self._root / _LOCKS / f"{directory}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _sweep(self) -> None:
        """Delete what builds of dead processes have left; a living builder holds its lock and is not touched."""
        for temporary in self._root.glob(f"{_TEMPORARY}*"):
            lock = self._open_lock(temporary.name.removeprefix(_TEMPORARY))
            try:
                if _try_lock(lock):
                    builder.unseal_and_delete(temporary)
            finally:
                os.close(lock)


def digest_of(plan: Plan) -> str:
    """The content address: everything that decides what a build yields, and nothing that does not."""
    python: Interpreter = plan.python
    content = {
        "format": builder.FORMAT,
        "packages": sorted(plan.recipe.packages),
        "indexes": plan.recipe.indexes,
        "find_links": plan.recipe.find_links,
        "python": [python.version, str(python.executable)],
        "architecture": platform.machine(),
        "variant": plan.variant.value,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _disk_error(what: str, failure: OSError) -> MadangError:
    if failure.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"The disk was full while {what} was built; nothing of it was kept. Free some space.")
    return Unavailable(f"Building {what} failed: {failure.strerror or failure}: {failure.filename or 'no file'}.")


def _unusable(name: str, error: MadangError | InvalidInput, entry: Manifest | None = None) -> EnvironmentStatus:
    return EnvironmentStatus(
        name=name,
        description=entry.description if entry else "",
        state=EnvironmentState.FAILED,
        digest="",
        packages=list(entry.recipe.packages) if entry else [],
        python=entry.python if entry else "",
        message=error.message,
    )
