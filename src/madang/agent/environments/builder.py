"""Building one environment with uv in a directory nobody uses yet, and sealing it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from madang.agent.environments.interpreters import Interpreter
from madang.agent.environments.manifest import Recipe, Variant
from madang.agent.environments.resolver import Resolution, Resolver
from madang.agent.environments.sources import with_recipe
from madang.agent.environments.uvtool import CommandFailed, run_command, run_uv

FORMAT: Final = 1
"""Raise it when environments have to be built anew because this file builds them differently."""

Progress = Callable[[float, str], None]
"""Takes the part that is done, 0 to 1, and what is being done."""

_SMOKE: Final = """
import importlib, importlib.metadata as metadata, sys
if len(sys.argv) > 1:
    wanted = sys.argv[1].lower().replace("_", "-").replace(".", "-")
    for module, owners in metadata.packages_distributions().items():
        names = [owner.lower().replace("_", "-").replace(".", "-") for owner in owners]
        if wanted in names and not module.startswith("_"):
            importlib.import_module(module)
            break
"""
_SMOKE_SECONDS: Final = 120
_COUNT_SECONDS: Final = 0.5

# How far each phase reaches. Compiling takes longest by far: it is bound by the processor, not by the network.
_RESOLVED: Final = 0.08
_PREPARED: Final = 0.30
_INSTALLED: Final = 0.38
_COMPILED: Final = 0.94


@dataclass(frozen=True, slots=True)
class Plan:
    """What to build, and on what."""

    name: str
    recipe: Recipe
    python: Interpreter
    variant: Variant


async def build(
    plan: Plan, venv: Path, work: Path, environment: Mapping[str, str], progress: Progress, keep_open: Sequence[int]
) -> tuple[str, ...]:
    """Make a virtual environment at `venv`, with `work` for working files; returns the pinned packages it holds.

    Raises CommandFailed with the failing tool's words, Unavailable, or OSError. What it leaves is the caller's to
    publish or delete.
    """
    environment = with_recipe(environment, plan.recipe)
    progress(0.0, "looking up packages")
    resolution = Resolution(())
    if plan.recipe.packages:
        resolution = await Resolver(plan.recipe, plan.python, plan.variant, environment, work).resolve()
    progress(_RESOLVED, f"{len(resolution.pins)} packages to install")
    arguments = ["venv", "--quiet", "--relocatable", "--no-project", "--prompt", plan.name]
    arguments += ["--python", str(plan.python.executable), str(venv)]
    await run_uv(arguments, environment, keep_open=keep_open)
    if resolution.pins:
        await _install(resolution, venv, work, environment, progress, keep_open)
    progress(_COMPILED, "trying it out")
    await _smoke(plan, venv, environment)
    progress(0.97, "sealing")
    return resolution.pins


async def _install(
    resolution: Resolution,
    venv: Path,
    work: Path,
    environment: Mapping[str, str],
    progress: Progress,
    keep_open: Sequence[int],
) -> None:
    pinned = work / "pinned.txt"
    pinned.write_text("".join(f"{pin}\n" for pin in resolution.pins), encoding="utf-8")
    watcher = _InstallWatcher(venv, len(resolution.pins), progress)
    counting = asyncio.create_task(watcher.count())
    try:
        arguments = ["pip", "install", "--no-deps", "--compile-bytecode", *resolution.arguments]
        arguments += ["--python", str(venv / "bin" / "python"), "--requirements", str(pinned)]
        await run_uv(arguments, environment, watcher.line, keep_open)
    finally:
        counting.cancel()


class _InstallWatcher:
    """Reads from uv's lines, and from what appears on disk, how far an installation is."""

    def __init__(self, venv: Path, total: int, progress: Progress) -> None:
        self._venv = venv
        self._total = total
        self._progress = progress
        self._expected: dict[str, float] = {}  # MiB of the larger downloads, as uv announces them
        self._arrived = 0.0
        self._installed = False

    def line(self, line: str) -> None:
        """Take one line of uv."""
        words = line.split()
        if match := re.match(r"Downloading (\S+) \(([\d.]+)(KiB|MiB|GiB)\)", line.strip()):
            scale = {"KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0}[match[3]]
            self._expected[match[1]] = float(match[2]) * scale
            self._report_download(match[1])
        elif len(words) >= 2 and words[0] == "Downloaded":
            self._arrived += self._expected.get(words[1], 0.0)
            self._report_download(words[1])
        elif words[:1] == ["Prepared"]:
            self._progress(_PREPARED, f"installing {self._total} packages")
        elif words[:1] == ["Installed"]:
            self._installed = True
            self._progress(_INSTALLED, "compiling")

    def _report_download(self, name: str) -> None:
        part = self._arrived / max(sum(self._expected.values()), 1e-9)
        self._progress(_RESOLVED + (_PREPARED - _RESOLVED) * part, f"downloading {name}")

    async def count(self) -> None:
        """Follow the compilation, of which uv says nothing, by the files it leaves."""
        while True:
            await asyncio.sleep(_COUNT_SECONDS)
            if self._installed:
                sources, compiled = await asyncio.to_thread(_count_modules, self._venv)
                part = min(compiled / max(sources, 1), 1.0)
                self._progress(_INSTALLED + (_COMPILED - _INSTALLED) * part, f"compiling {compiled} of {sources} files")


def _count_modules(root: Path) -> tuple[int, int]:
    sources = compiled = 0
    for _, _, files in os.walk(root):
        sources += sum(name.endswith(".py") for name in files)
        compiled += sum(name.endswith(".pyc") for name in files)
    return sources, compiled


async def _smoke(plan: Plan, venv: Path, environment: Mapping[str, str]) -> None:
    first = [Requirement(plan.recipe.packages[0]).name] if plan.recipe.packages else []
    variables = {"PATH": f"{venv}/bin:/usr/bin:/bin", "HOME": "/nonexistent", "MPLCONFIGDIR": "/nonexistent"}
    variables |= {name: environment[name] for name in ("LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in environment}
    shown = "a first import in it"
    try:
        async with asyncio.timeout(_SMOKE_SECONDS):
            await run_command([str(venv / "bin" / "python"), "-I", "-c", _SMOKE, *first], variables, shown=shown)
    except TimeoutError:
        raise CommandFailed(shown, 124, [f"It did not end within {_SMOKE_SECONDS} s."]) from None


def seal(root: Path) -> int:
    """Make everything beneath `root` readable by all and writable by nobody; returns its size in bytes.

    A hard link shared with uv's cache is sealed in both places, which is wanted: a session could otherwise be changed
    through the cache.
    """
    size = 0
    for directory, _, files in os.walk(root, topdown=False):
        for name in files:
            path = os.path.join(directory, name)
            info = os.lstat(path)
            size += info.st_blocks * 512
            if stat.S_ISREG(info.st_mode):
                wanted = 0o555 if info.st_mode & 0o111 else 0o444
                if stat.S_IMODE(info.st_mode) != wanted:
                    os.chmod(path, wanted)
        os.chmod(directory, 0o555)  # noqa: S103 - for all sessions, on purpose
    return size


def flush(directory: Path) -> None:
    """Bring everything on the file system of `directory` to the disk, so that a rename never outruns its contents."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(directory))
    finally:
        os.close(descriptor)


def unseal_and_delete(root: Path) -> None:
    """Delete a tree, sealed directories included. What cannot be deleted is left."""
    for directory, directories, files in os.walk(root, topdown=False):
        try:
            os.chmod(directory, 0o700)
            for name in files:
                os.unlink(os.path.join(directory, name))
            for name in directories:
                path = os.path.join(directory, name)
                if os.path.islink(path):
                    os.unlink(path)
                else:
                    os.rmdir(path)
        except OSError:
            continue
    try:
        root.rmdir()
    except OSError:
        return
