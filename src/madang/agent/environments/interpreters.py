"""Finding a Python on this machine for an environment to stand on; nothing is ever downloaded."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from packaging.version import InvalidVersion, Version

from madang.agent.environments.manifest import python_matches
from madang.domain.errors import Unavailable

_ASK: Final = "import platform, sys; print(platform.python_version()); print(sys.base_prefix)"
_ASK_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python outside of any virtual environment."""

    executable: Path
    version: str  # e.g. "3.12.1"
    prefix: Path

    @property
    def home(self) -> Path | None:
        """The directory a sandbox has to mount for this Python to run; None when /usr, always there, has it."""
        return None if self.prefix.is_relative_to("/usr") else self.prefix


def running_interpreter() -> Interpreter:
    """The Python that runs Madang, seen through the virtual environment it may live in."""
    # `_base_executable` is what the standard library's venv module itself uses to look through an environment.
    executable = Path(getattr(sys, "_base_executable", None) or sys.executable)
    return Interpreter(executable.resolve(), platform.python_version(), Path(sys.base_prefix).resolve())


@lru_cache(maxsize=32)
def find_interpreter(request: str) -> Interpreter:
    """The running Python when it satisfies `request`, else the newest on this machine that does.

    Raises Unavailable when there is none. A version once found is remembered, a failed search is not.
    """
    running = running_interpreter()
    if python_matches(request, running.version):
        return running
    fitting = [python for python in installed_interpreters() if python_matches(request, python.version)]
    if not fitting:
        raise Unavailable(
            f"No Python {request} is installed on this machine. Install it (a system package, pyenv or "
            f"'uv python install'), or change 'python' in the manifest; Madang itself runs on {running.version}."
        )
    return max(fitting, key=lambda python: _sortable(python.version))


def installed_interpreters() -> list[Interpreter]:
    """Every CPython in the usual places: PATH, pyenv, and what uv has installed."""
    found: dict[Path, Interpreter] = {}
    for candidate in _candidates():
        try:
            real = candidate.resolve(strict=True)
        except (OSError, RuntimeError):
            continue
        # pyenv's shims are scripts that all resolve to themselves: they tell nothing that its versions do not.
        if real not in found and real.parent.name != "shims":
            python = _ask(real)
            if python is not None:
                found[real] = python
    return list(found.values())


def _candidates() -> Iterator[Path]:
    searched = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/local/bin", "/usr/bin"]
    for directory in dict.fromkeys(searched):
        if directory.startswith("/"):
            yield from sorted(Path(directory).glob("python3.[0-9]*[0-9]"))
    home = Path(os.environ.get("HOME", "/nonexistent"))
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    managed = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local" / "share" / "uv" / "python")
    for root in (pyenv / "versions", managed):
        yield from sorted(root.glob("*/bin/python3.[0-9]*[0-9]"))


def _ask(executable: Path) -> Interpreter | None:
    try:
        answer = subprocess.run(
            [str(executable), "-I", "-S", "-c", _ASK],
            capture_output=True,
            text=True,
            timeout=_ASK_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None  # not a Python that works: as good as not installed
    if len(answer) != 2:
        return None
    return Interpreter(executable, answer[0], Path(answer[1]).resolve())


def _sortable(version: str) -> Version:
    try:
        return Version(version)
    except InvalidVersion:
        return Version("0")
