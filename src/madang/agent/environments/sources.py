"""Where packages come from: pip's configuration, told to uv, because closed networks often have only that.

Standard library only: `make` runs this file to install Madang's own dependencies, when nothing else is there yet.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from madang.agent.environments.manifest import Recipe

_MEANING: Final[Mapping[str, str]] = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
}
"""Options of pip, and the variable through which uv takes the same."""

_ALSO: Final[Mapping[str, tuple[str, ...]]] = {
    "UV_DEFAULT_INDEX": ("UV_INDEX_URL",),
    "UV_INDEX": ("UV_EXTRA_INDEX_URL",),
    "ALL_PROXY": ("HTTPS_PROXY", "https_proxy", "all_proxy"),
}
"""Older or other names: whoever set one of these has spoken to uv directly."""

# What belongs to the shell, project or Python that happened to start Madang, and must not leak into a build.
_FOREIGN: Final = frozenset(
    {
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "UV_PROJECT_ENVIRONMENT",
        "UV_PROJECT",
        "UV_WORKING_DIR",
        "UV_PYTHON",
        "UV_SYSTEM_PYTHON",
        "UV_CACHE_DIR",
        "UV_NO_CACHE",
        "UV_OFFLINE",
        "UV_TARGET",
        "UV_PREFIX",
        "UV_CONSTRAINT",
        "UV_OVERRIDE",
        "UV_REQUIRE_HASHES",
        "UV_TORCH_BACKEND",
        "UV_LINK_MODE",
        "UV_VENV_SEED",
        "UV_LOCK_TIMEOUT",
        "UV_COMPILE_BYTECODE",
    }
)


def pip_options(environ: Mapping[str, str], files: list[Path] | None = None) -> Mapping[str, str]:
    """pip's own configuration as it would see it: global, user, this environment's, PIP_CONFIG_FILE, then PIP_*."""
    options: dict[str, str] = {}
    for path in pip_files(environ) if files is None else files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError):
            continue  # pip itself complains about such a file; a build must not fail on it
        for section in ("global", "install"):
            if parser.has_section(section):
                options.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    for name in _MEANING:
        value = environ.get(f"PIP_{name.upper().replace('-', '_')}", "")
        if value:
            options[name] = value
    return {name: " ".join(value.split()) for name, value in options.items() if name in _MEANING and value.split()}


def pip_files(environ: Mapping[str, str]) -> list[Path]:
    """Configuration files of pip, weakest first."""
    chosen = environ.get("PIP_CONFIG_FILE", "")
    if chosen == os.devnull:
        return []
    home = Path(environ.get("HOME", "/nonexistent"))
    system = [Path(d) / "pip" / "pip.conf" for d in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if d]
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    files = [*system, Path("/etc/pip.conf"), home / ".pip" / "pip.conf", user, Path(sys.prefix) / "pip.conf"]
    return [*files, Path(chosen)] if chosen else files


def uv_environment(environ: Mapping[str, str], cache: Path, pip: Mapping[str, str]) -> dict[str, str]:
    """The variables uv runs with: what the user set for uv, and pip's configuration where uv was told nothing.

    They go through variables, never arguments, since an index's URL may carry a password and arguments are public.
    """
    result = {key: value for key, value in environ.items() if key not in _FOREIGN and not key.startswith("MADANG_")}
    for option, value in pip.items():
        variable = _MEANING[option]
        if any(name in environ for name in (variable, *_ALSO.get(variable, ()))):
            continue
        result[variable] = _as_uv_writes(option, value)
        if variable == "UV_INDEX":
            # pip takes the best version of all its indexes; uv would stop at the first that has the name at all.
            result.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    result["UV_CACHE_DIR"] = str(cache)
    result["UV_PYTHON_DOWNLOADS"] = "never"
    result["UV_LINK_MODE"] = "hardlink"  # a symbolic link into the cache would dangle in a sandbox
    result["UV_NO_PROGRESS"] = "1"
    result["UV_COLOR"] = "never"
    return result


def _as_uv_writes(option: str, value: str) -> str:
    if option == "find-links":
        return value.replace(" ", ",")
    if option == "no-index":
        return "1" if value.lower() in ("1", "true", "yes", "on") else "0"
    if option in ("cert", "client-cert"):
        return str(Path(value).expanduser())
    return value


def with_recipe(environment: Mapping[str, str], recipe: Recipe) -> dict[str, str]:
    """`environment` with a manifest's own indexes and find-links, asked before the configured ones."""
    result = dict(environment)
    if recipe.indexes:
        result["UV_INDEX"] = " ".join([*recipe.indexes, *result.get("UV_INDEX", "").split()])
    if recipe.find_links:
        result["UV_FIND_LINKS"] = ",".join([*recipe.find_links, *find_links(result)])
    return result


def find_links(environment: Mapping[str, str]) -> list[str]:
    """The places with plain wheels that uv is told of."""
    return [place for place in environment.get("UV_FIND_LINKS", "").split(",") if place]
