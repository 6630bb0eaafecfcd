"""Which exact packages an environment gets, and the rule that a machine without a GPU is never sent CUDA builds."""

from __future__ import annotations

import asyncio
import platform
import re
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from madang.agent.environments.interpreters import Interpreter
from madang.agent.environments.manifest import Recipe, Variant
from madang.agent.environments.sources import find_links
from madang.agent.environments.uvtool import CommandFailed, run_uv
from madang.domain.errors import Unavailable

_CUDA: Final = re.compile(r"nvidia-(cu|nccl|nvjitlink|nvshmem|nvtx).*|cuda-toolkit")
"""The libraries of several GB that CUDA builds bring along. Small ones such as nvidia-ml-py are no sign of them."""

_PAGE_SECONDS: Final = 10
_IMPATIENT: Final = {"UV_HTTP_RETRIES": "0", "UV_HTTP_CONNECT_TIMEOUT": "5"}


@dataclass(frozen=True, slots=True)
class Resolution:
    """Pinned requirements, one a line, and what uv needs to be told to find them again."""

    pins: tuple[str, ...]
    arguments: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(_name(pin) for pin in self.pins)

    @property
    def needs_cuda(self) -> bool:
        """Whether it contains CUDA's own libraries."""
        return any(_CUDA.fullmatch(name) for name in self.names)


def _name(pin: str) -> str:
    try:
        return canonicalize_name(Requirement(pin).name)
    except InvalidRequirement:
        return pin


def machine_variant(devices: Path = Path("/dev")) -> Variant:
    """CUDA where there is an NVIDIA GPU to be seen, else CPU."""
    return Variant.CUDA if any(devices.glob("nvidia[0-9]*")) else Variant.CPU


class Resolver:
    """Resolves one recipe for one interpreter on this machine. `directory` is for its working files."""

    def __init__(
        self, recipe: Recipe, python: Interpreter, variant: Variant, environment: Mapping[str, str], directory: Path
    ) -> None:
        self._recipe = recipe
        self._python = python
        self._variant = variant
        self._environment = environment
        self._directory = directory

    async def resolve(self) -> Resolution:
        """Raises CommandFailed with uv's words, or Unavailable when only CUDA builds are to be had and of no use."""
        plain = await self._compile()
        if not plain.needs_cuda:
            return plain
        if self._variant is Variant.CUDA:
            return await self._from_torch_index("auto") or plain
        for attempt in (self._from_torch_index("cpu"), self._from_find_links(plain.names)):
            found = await attempt
            if found is not None and not found.needs_cuda:
                return found
        raise Unavailable(
            "Only CUDA builds of its packages were found, and this machine has no NVIDIA GPU, so nothing was "
            "downloaded. Let the machine reach https://download.pytorch.org/whl/cpu, or put a '+cpu' build into a "
            "directory and name it in pip's 'find-links' or UV_FIND_LINKS, or list other packages under [cpu] in the "
            "manifest."
        )

    async def _from_torch_index(self, backend: str) -> Resolution | None:
        arguments = ("--torch-backend", backend)
        try:
            return await self._compile(arguments=arguments, variables=_IMPATIENT)
        except CommandFailed:
            return None  # out of reach from here

    async def _from_find_links(self, names: frozenset[str]) -> Resolution | None:
        builds: dict[str, Version] = {}
        for place in find_links(self._environment):
            for filename in await asyncio.to_thread(_wheels, place):
                self._note_build(filename, names, builds)
        if not builds:
            return None
        constraints = [f"{name}=={version}" for name, version in builds.items()]
        try:
            return await self._compile(constraints=constraints)
        except CommandFailed:
            return None

    def _note_build(self, filename: str, names: frozenset[str], builds: dict[str, Version]) -> None:
        try:
            name, version, _, tags = parse_wheel_filename(filename)
        except InvalidWheelFilename:
            return
        newer = name not in builds or version > builds[name]
        if (version.local or "").startswith("cpu") and name in names and newer and self._installable(tags):
            builds[name] = version

    def _installable(self, tags: Iterable[Tag]) -> bool:
        mine = "cp" + "".join(self._python.version.split(".")[:2])
        machine = platform.machine()
        return any(
            (tag.interpreter in (mine, "py3") or tag.abi == "abi3")
            and (tag.platform == "any" or ("linux" in tag.platform and tag.platform.endswith(machine)))
            for tag in tags
        )

    async def _compile(
        self,
        constraints: Iterable[str] = (),
        arguments: tuple[str, ...] = (),
        variables: Mapping[str, str] | None = None,
    ) -> Resolution:
        wanted = self._directory / "requirements.in"
        limits = self._directory / "constraints.txt"
        pinned = self._directory / "requirements.txt"
        wanted.write_text("".join(f"{package}\n" for package in self._recipe.packages), encoding="utf-8")
        limits.write_text("".join(f"{line}\n" for line in constraints), encoding="utf-8")
        pinned.unlink(missing_ok=True)
        command = ["pip", "compile", "--quiet", "--no-header", "--no-annotate", *arguments]
        command += ["--python", str(self._python.executable), "--constraints", str(limits)]
        command += ["--output-file", str(pinned), str(wanted)]
        await run_uv(command, {**self._environment, **(variables or {})})
        lines = (line.strip() for line in pinned.read_text(encoding="utf-8").splitlines())
        return Resolution(tuple(line for line in lines if line and not line.startswith(("#", "-"))), arguments)


def _wheels(place: str) -> list[str]:
    """File names of the wheels at a find-links place; a place that cannot be read has none."""
    url = urlsplit(place)
    if url.scheme in ("http", "https"):
        try:
            with urllib.request.urlopen(place, timeout=_PAGE_SECONDS) as page:  # noqa: S310 - scheme checked above
                text = page.read(32 << 20).decode("utf-8", "replace")
        except OSError:
            return []
        return [unquote(link.rsplit("/", 1)[-1]) for link in re.findall(r"href=[\"']([^\"'#]+\.whl)", text)]
    directory = Path(unquote(url.path) if url.scheme == "file" else place)
    return [path.name for path in directory.glob("*.whl")]
