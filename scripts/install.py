"""Fill .venv from uv.lock with uv, through the package index, mirrors and certificates that pip is configured for."""

from __future__ import annotations

import ast
import os
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


def pip_settings(listing: str) -> dict[str, str]:
    """Read the output of `pip config list`; a command's own section beats `global`, the environment beats both."""
    settings: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for line in listing.splitlines():
            key, _, value = line.partition("=")
            if key.startswith(f"{section}."):
                settings[key.removeprefix(f"{section}.")] = str(ast.literal_eval(value))
    return settings


def uv_environment(settings: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The variables that make uv do what pip is configured to do. What is `given` to uv already is left alone."""
    names = {
        "index-url": "UV_DEFAULT_INDEX",
        "extra-index-url": "UV_INDEX",
        "find-links": "UV_FIND_LINKS",
        "cert": "SSL_CERT_FILE",
        "trusted-host": "UV_INSECURE_HOST",
        "proxy": "ALL_PROXY",
        "timeout": "UV_HTTP_TIMEOUT",
        "default-timeout": "UV_HTTP_TIMEOUT",
        "no-index": "UV_NO_INDEX",
    }
    variables = {names[key]: " ".join(value.split()) for key, value in settings.items() if key in names}
    if "UV_FIND_LINKS" in variables:
        variables["UV_FIND_LINKS"] = variables["UV_FIND_LINKS"].replace(" ", ",")
    if "UV_INDEX" in variables:
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # as pip: the best version of all indexes
    return {name: value for name, value in variables.items() if name not in given}


def uses_mirror(settings: Mapping[str, str]) -> bool:
    """Whether packages have to come from another place than the one whose addresses stand in uv.lock."""
    index = settings.get("index-url")
    return "no-index" in settings or (index is not None and urlsplit(index).hostname not in PYPI)


def locked_uv(lock: Mapping[str, object]) -> str:
    """A requirement for exactly the uv of the lock file, with its hashes."""
    packages = lock["package"]
    assert isinstance(packages, list)
    uv = next(package for package in packages if package["name"] == "uv")
    hashes = " ".join(f"--hash={wheel['hash']}" for wheel in uv["wheels"])
    return f"uv=={uv['version']} {hashes}\n"


def run(*command: str, environment: Mapping[str, str]) -> None:
    finished = subprocess.run(command, env=dict(environment), cwd=ROOT, check=False)
    if finished.returncode:
        sys.exit(f"This failed: {' '.join(command)}")


def install_uv(environment: Mapping[str, str]) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirement:
        requirement.write(locked_uv(tomllib.loads((ROOT / "uv.lock").read_text())))
        requirement.flush()
        pip = (sys.executable, "-m", "pip", "--cache-dir", str(CACHE / "pip"), "--disable-pip-version-check")
        run(*pip, "install", "--quiet", "--require-hashes", "-r", requirement.name, environment=environment)


def main(group: str) -> None:
    """Install the runtime dependencies, and with group `dev` the tools of `make test`, `check` and `bench` too."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    settings = pip_settings(listing.stdout)
    environment = {
        **os.environ,
        **uv_environment(settings, os.environ),
        "UV_CACHE_DIR": str(CACHE / "uv"),
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_PROJECT_ENVIRONMENT": str(ROOT / ".venv"),
        "UV_PYTHON": str(ROOT / ".venv/bin/python"),
    }
    environment.pop("VIRTUAL_ENV", None)
    install_uv(environment)
    uv = str(ROOT / ".venv/bin/uv")
    what = ["--group", "dev"] if group == "dev" else ["--no-dev"]
    if not uses_mirror(settings):
        run(uv, "sync", "--frozen", "--inexact", "--quiet", *what, environment=environment)
        return
    # uv.lock names addresses of PyPI; a mirror has the same files elsewhere: take only versions and hashes from it.
    with tempfile.TemporaryDirectory() as scratch:
        pins = f"{scratch}/requirements.txt"
        run(uv, "export", "--frozen", "--quiet", "--no-emit-project", "-o", pins, *what, environment=environment)
        run(uv, "pip", "install", "--quiet", "--require-hashes", "-r", pins, environment=environment)
        run(uv, "pip", "install", "--quiet", "--no-deps", "-e", ".", environment=environment)


if __name__ == "__main__":
    main(sys.argv[1])
