"""Which files Git would ignore, by the .gitignore files in a directory, beneath it, and above it in its repository."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pathspec import GitIgnoreSpec

_FILE: Final = ".gitignore"


@dataclass(frozen=True, slots=True)
class Rules:
    """The .gitignore rules that hold in one directory, the outermost first."""

    _specs: tuple[tuple[Path, GitIgnoreSpec], ...] = ()

    def within(self, directory: Path) -> Rules:
        """These rules and those of `directory` itself."""
        try:
            lines = (directory / _FILE).read_text("utf-8", "surrogateescape").splitlines()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
            return self
        return Rules((*self._specs, (directory, GitIgnoreSpec.from_lines(lines))))

    def ignores(self, path: Path, *, is_directory: bool) -> bool:
        """Whether `path` is ignored, its parents not being: the innermost rule that speaks of it decides."""
        for directory, spec in reversed(self._specs):
            written = path.relative_to(directory).as_posix() + ("/" if is_directory else "")
            verdict = spec.check_file(written).include
            if verdict is not None:
                return verdict
        return False


def rules_above(directory: Path) -> Rules:
    """The rules for `directory` from the repository it lies in: none when it is in no repository, or is its top."""
    rules = Rules()
    for parent in reversed(list(_parents_in_repository(directory))):
        rules = rules.within(parent)
    return rules


def _parents_in_repository(directory: Path) -> Iterator[Path]:
    if (directory / ".git").exists():
        return
    parents = list(directory.parents)
    for index, parent in enumerate(parents):
        if (parent / ".git").exists():
            yield from parents[: index + 1]
            return
