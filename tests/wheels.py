"""Tiny packages for tests, so that environments are really built without a network."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

_SLOW_BACKEND = """
import os, time, zipfile
def build_wheel(directory, config_settings=None, metadata_directory=None):
    with open({begun!r}, "a") as begun:
        begun.write("begun\\n")
    while not os.path.exists({go!r}):
        time.sleep(0.02)
    name = "{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        for path, content in {files!r}.items():
            wheel.writestr(path, content)
    return name
"""


def _files(name: str, version: str, requires: Sequence[str], padding: int, code: str = "") -> dict[str, str]:
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    files = {
        f"{name}/__init__.py": f"VERSION = {version!r}\n{code}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if padding:
        files[f"{name}/padding.bin"] = "0" * padding
    return {**files, f"{info}/RECORD": "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])}


def wheel(
    directory: Path, name: str, version: str = "1.0", requires: Sequence[str] = (), padding: int = 0, code: str = ""
) -> Path:
    """Write a wheel with one module that holds `code`; `padding` bytes make it large."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in _files(name.replace("-", "_"), version, requires, padding, code).items():
            archive.writestr(member, content)
    return path


def slow_sdist(directory: Path, name: str, begun: Path, go: Path) -> Path:
    """Write a source package whose build appends a line to `begun` and waits until `go` exists."""
    directory.mkdir(parents=True, exist_ok=True)
    backend = _SLOW_BACKEND.format(begun=str(begun), go=str(go), name=name, files=_files(name, "1.0", (), 0))
    members = {
        "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: 1.0\n",
        "pyproject.toml": f'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "1.0"\n',
        "backend.py": backend,
    }
    path = directory / f"{name}-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members.items():
            info = tarfile.TarInfo(f"{name}-1.0/{member}")
            info.size = len(content.encode())
            archive.addfile(info, io.BytesIO(content.encode()))
    return path
