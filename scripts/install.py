"""Fill .venv from uv.lock with uv, through the package index, mirrors and certificates that pip is configured for."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "build" / "cache"
PYPI = {"pypi.org", "pypi.python.org"}


def uses_mirror(options: Mapping[str, str]) -> bool:
    """Whether packages have to come from another place than the one whose addresses stand in uv.lock."""
    index = options.get("index-url")
    return "no-index" in options or (index is not None and urlsplit(index).hostname not in PYPI)


def locked_uv(lock: Mapping[str, object]) -> str:
    """A requirement for exactly the uv of the lock file, with its hashes."""
    packages = lock["package"]
    assert isinstance(packages, list)
    uv = next(package for package in packages if package["name"] == "uv")
    hashes = " ".join(f"--hash={wheel['hash']}" for wheel in uv["wheels"])
    return f"uv=={uv['version']} {hashes}\n"


def run(*command: str, environment: Mapping[str, str]) -> None:
    """Run a command; exits with a message when it fails."""
    finished = subprocess.run(command, env=dict(environment), cwd=ROOT, check=False)
    if finished.returncode:
        sys.exit(f"This failed: {' '.join(command)}")


def install_uv(environment: Mapping[str, str]) -> None:
    """Put the uv of the lock file into .venv, with pip."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirement:
        requirement.write(locked_uv(tomllib.loads((ROOT / "uv.lock").read_text())))
        requirement.flush()
        pip = (sys.executable, "-m", "pip", "--cache-dir", str(CACHE / "pip"), "--disable-pip-version-check")
        run(*pip, "install", "--quiet", "--require-hashes", "-r", requirement.name, environment=environment)


def main(group: str) -> None:
    """Install the runtime dependencies, and with group `dev` the tools of `make test`, `check` and `bench` too."""
    # Environments of sessions are built by the same rules; its package cannot be imported yet, this file of it can.
    sources = runpy.run_path(str(ROOT / "src/madang/agent/environments/sources.py"))
    options: Mapping[str, str] = sources["pip_options"](os.environ)
    environment: dict[str, str] = sources["uv_environment"](os.environ, CACHE / "uv", options)
    scratch = ROOT / "build" / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    environment["TMPDIR"] = str(scratch)  # build tools leave files there
    environment["UV_PROJECT_ENVIRONMENT"] = environment["VIRTUAL_ENV"] = str(ROOT / ".venv")
    install_uv(environment)
    uv = str(ROOT / ".venv/bin/uv")
    what = ["--group", "dev"] if group == "dev" else ["--no-dev"]
    if not uses_mirror(options):
        run(uv, "sync", "--frozen", "--inexact", "--quiet", *what, environment=environment)
        return
    # uv.lock names addresses of PyPI; a mirror has the same files elsewhere: take only versions and hashes from it.
    pins = str(scratch / "requirements.txt")
    run(uv, "export", "--frozen", "--quiet", "--no-emit-project", "-o", pins, *what, environment=environment)
    run(uv, "pip", "install", "--quiet", "--require-hashes", "-r", pins, environment=environment)
    run(uv, "pip", "install", "--quiet", "--no-deps", "-e", ".", environment=environment)


if __name__ == "__main__":
    main(sys.argv[1])
