"""Manifests of environments: one TOML file each, read strictly, so that a typing error never passes in silence."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

import madang
from madang.domain.errors import InvalidInput, MadangError
from madang.domain.names import check_name, check_variables

_KEYS: Final = ("name", "description", "python", "packages", "indexes", "find-links", "variables", "cpu", "cuda")
_OVERRIDE_KEYS: Final = ("packages", "indexes", "find-links")
_RESERVED: Final = frozenset({"PATH", "VIRTUAL_ENV", "PYTHONHOME", "HOME"})
_MAX_BYTES: Final = 1 << 20


class Variant(StrEnum):
    """What a machine can compute with, as far as the choice of packages depends on it."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to install, and from where."""

    packages: tuple[str, ...]
    indexes: tuple[str, ...] = ()  # asked before the configured ones
    find_links: tuple[str, ...] = ()  # directories or pages with wheels


@dataclass(frozen=True, slots=True)
class Manifest:
    """One environment as its author describes it."""

    name: str
    description: str
    python: str  # "3.12" or ">=3.11,<3.14"; "" for the Python that runs Madang
    recipe: Recipe
    variables: Mapping[str, str]
    overrides: Mapping[Variant, Recipe]
    source: Path

    def recipe_for(self, variant: Variant) -> Recipe:
        """The recipe on a machine of this kind: an override replaces packages of the same name and adds the others."""
        override = self.overrides.get(variant)
        if override is None:
            return self.recipe
        replaced = {canonicalize_name(Requirement(package).name) for package in override.packages}
        kept = (p for p in self.recipe.packages if canonicalize_name(Requirement(p).name) not in replaced)
        return Recipe(
            packages=(*kept, *override.packages),
            indexes=(*override.indexes, *self.recipe.indexes),
            find_links=(*override.find_links, *self.recipe.find_links),
        )


@dataclass(frozen=True, slots=True)
class BadManifest:
    """A manifest that cannot be used, kept so that its author sees why."""

    name: str
    error: InvalidInput


def builtin_manifests() -> Path:
    """The directory of the environments that come with Madang: in the installed package, or in its source tree."""
    package = Path(madang.__file__).resolve().parent
    installed = package / "_environments"
    return installed if installed.is_dir() else package.parent.parent / "environments"


def python_matches(request: str, version: str) -> bool:
    """Whether a Python of `version` ("3.12.1") satisfies a manifest's request; an empty one is satisfied by any."""
    if not request:
        return True
    if request[0].isdigit():
        return version == request or version.startswith(f"{request}.")
    return SpecifierSet(request).contains(version, prereleases=True)


def read_manifests(directories: Sequence[Path]) -> Mapping[str, Manifest | BadManifest]:
    """All manifests by name, sorted; a later directory overrides an earlier one. A missing directory is empty."""
    found: dict[str, Manifest | BadManifest] = {}
    for directory in directories:
        here: dict[str, Manifest | BadManifest] = {}
        for path in sorted(directory.glob("*.toml")):
            entry = _read_or_explain(path)
            earlier = here.get(entry.name)
            if earlier is not None:
                entry = BadManifest(
                    entry.name, InvalidInput(f"{path}: name: '{entry.name}' is used by another manifest beside it.")
                )
            here[entry.name] = entry
        found.update(here)
    return MappingProxyType(dict(sorted(found.items())))


def _read_or_explain(path: Path) -> Manifest | BadManifest:
    try:
        return read_manifest(path)
    except InvalidInput as error:
        return BadManifest(path.stem, error)


def read_manifest(path: Path) -> Manifest:
    """Read one manifest. Raises InvalidInput that names the file and the key."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidInput(f"{path}: larger than any manifest needs to be.")
        document: Mapping[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: not valid TOML: {error}.") from None
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}.") from None
    return _Reader(path).manifest(document)


class _Reader:
    """Turns a TOML document into a Manifest, or into an error that says where it is wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def manifest(self, document: Mapping[str, object]) -> Manifest:
        self._known(document, _KEYS, "")
        if "packages" not in document:
            raise self._error("packages", "is missing; list what to install, e.g. packages = ['numpy'].")
        name = self._text(document, "name", self._path.stem)
        self._explained("name", lambda: check_name(name))
        overrides = {
            variant: self._recipe(self._table(document, variant.value), f"{variant.value}.")
            for variant in Variant
            if variant.value in document
        }
        return Manifest(
            name=name,
            description=self._text(document, "description", ""),
            python=self._python(document),
            recipe=self._recipe({key: document[key] for key in _OVERRIDE_KEYS if key in document}, ""),
            variables=self._variables(document),
            overrides=MappingProxyType(overrides),
            source=self._path,
        )

    def _recipe(self, table: Mapping[str, object], prefix: str) -> Recipe:
        self._known(table, _OVERRIDE_KEYS, prefix)
        packages = self._texts(table, "packages", prefix)
        for package in packages:
            self._requirement(package, f"{prefix}packages")
        return Recipe(packages, self._places(table, "indexes", prefix), self._places(table, "find-links", prefix))

    def _requirement(self, package: str, key: str) -> None:
        try:
            Requirement(package)
        except InvalidRequirement:
            raise self._error(key, f"cannot read '{package}'; write e.g. 'numpy' or 'numpy>=2,<3'.") from None

    def _places(self, table: Mapping[str, object], key: str, prefix: str) -> tuple[str, ...]:
        places = self._texts(table, key, prefix)
        for place in places:
            if urlsplit(place).scheme not in ("http", "https", "file") and not place.startswith("/"):
                raise self._error(f"{prefix}{key}", f"'{place}' is neither a URL nor an absolute path.")
            if any(character in place for character in " ,\n"):
                raise self._error(f"{prefix}{key}", f"'{place}' contains a space or comma; write them as %20 and %2C.")
        return places

    def _python(self, document: Mapping[str, object]) -> str:
        request = self._text(document, "python", "").replace(" ", "")
        try:
            if request and request[0].isdigit():
                Version(request)
            else:
                SpecifierSet(request)
        except (InvalidVersion, InvalidSpecifier):
            raise self._error("python", f"cannot read '{request}'; write e.g. '3.12' or '>=3.11,<3.14'.") from None
        return request

    def _variables(self, document: Mapping[str, object]) -> Mapping[str, str]:
        table = self._table(document, "variables")
        variables = {key: self._text(table, key, "", "variables.") for key in table}
        self._explained("variables", lambda: check_variables(variables))
        for key in sorted(_RESERVED & variables.keys()):
            raise self._error(f"variables.{key}", "is set by Madang itself; remove it.")
        return MappingProxyType(variables)

    def _text(self, table: Mapping[str, object], key: str, default: str, prefix: str = "") -> str:
        value = table.get(key, default)
        if not isinstance(value, str) or "\0" in value:
            raise self._error(f"{prefix}{key}", "has to be a string.")
        return value.strip()

    def _texts(self, table: Mapping[str, object], key: str, prefix: str) -> tuple[str, ...]:
        value = table.get(key, [])
        if not isinstance(value, list):
            raise self._error(f"{prefix}{key}", "has to be a list of strings.")
        texts = tuple(item.strip() for item in value if isinstance(item, str) and item.strip())
        if len(texts) != len(value):
            raise self._error(f"{prefix}{key}", "has to be a list of strings, none of them empty.")
        return texts

    def _table(self, document: Mapping[str, object], key: str) -> Mapping[str, object]:
        value = document.get(key, {})
        if not isinstance(value, dict):
            raise self._error(key, f"has to be a table: [{key}].")
        return value

    def _known(self, table: Mapping[str, object], keys: Sequence[str], prefix: str) -> None:
        for key in table:
            if key not in keys:
                raise self._error(f"{prefix}{key}", f"is not a known key; there are {', '.join(keys)}.")

    def _explained(self, key: str, check: Callable[[], object]) -> None:
        try:
            check()
        except MadangError as error:
            raise self._error(key, error.message) from None

    def _error(self, key: str, what: str) -> InvalidInput:
        return InvalidInput(f"{self._path}: {key}: {what}")
