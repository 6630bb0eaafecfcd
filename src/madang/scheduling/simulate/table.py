"""Rows of a CSV file, with errors that name the file, the line and the column."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from madang.domain.errors import InvalidInput

_Choice = TypeVar("_Choice", bound=StrEnum)
_YES: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Row:
    """One line of a file. A cell that is empty, or whose column the file does not have, gives the default."""

    def __init__(self, file: str, line: int, cells: dict[str, str]) -> None:
        self._file = file
        self._line = line
        self._cells = cells

    def wrong(self, column: str, why: str) -> InvalidInput:
        """The error to raise when what stands in a column cannot be used."""
        return InvalidInput(f"{self._file}, line {self._line}, column {column}: {why}")

    def text(self, column: str, default: str = "") -> str:
        """What stands there, without spaces around it."""
        return self._cells.get(column, "").strip() or default

    def name(self, column: str) -> str:
        """A text that has to be there."""
        if not (found := self.text(column)):
            raise self.wrong(column, "is empty; give every line a name of its own.")
        return found

    def names(self, column: str) -> tuple[str, ...]:
        """Texts with | between them."""
        return tuple(one.strip() for one in self.text(column).split("|") if one.strip())

    def number(self, column: str) -> float | None:
        """A number; None where there is none."""
        if not (written := self.text(column)):
            return None
        try:
            found = float(written)
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            raise self.wrong(column, f"'{written[:40]}' is not a number; write e.g. 3600 or 12.5.")
        return found

    def whole(self, column: str, default: int, least: int | None = None, most: int | None = None) -> int:
        """A whole number within limits."""
        found = self.number(column)
        if found is None:
            return default
        if found != int(found) or (least is not None and found < least) or (most is not None and found > most):
            limits = "" if least is None else f" of at least {least}" if most is None else f" from {least} to {most}"
            raise self.wrong(column, f"'{self.text(column)}' is not a whole number{limits}.")
        return int(found)

    def choice(self, column: str, default: _Choice) -> _Choice:
        """One of the values of an enumeration."""
        written = self.text(column, default.value).lower()
        try:
            return type(default)(written)
        except ValueError:
            known = ", ".join(type(default))
            raise self.wrong(column, f"'{written[:40]}' is not known; write one of {known}.") from None

    def flag(self, column: str, default: bool) -> bool:
        """Yes or no."""
        if not (written := self.text(column).lower()):
            return default
        if written not in _YES:
            raise self.wrong(column, f"'{written[:40]}' is neither true nor false.")
        return _YES[written]


def lines_of(path: Path) -> list[str]:
    """The lines of a file in UTF-8, with their ends. Raises InvalidInput for one in another encoding, and OSError."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InvalidInput(f"{path.name}, line {line}: is not in UTF-8; save the file as CSV in UTF-8.") from None


def rows(lines: Iterable[str], file: str, required: Sequence[str]) -> Iterator[Row]:
    """The lines of a CSV file behind its header. Raises InvalidInput for one without a column that is required."""
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if missing := [name for name in required if name not in header]:
            wanted = ", ".join(required)
            raise InvalidInput(f"{file}, line 1: has no column {missing[0]}; the first line names at least {wanted}.")
        for cells in reader:
            if not any(cells):
                continue
            if len(cells) != len(header):
                count = f"{len(cells)} columns where the first line names {len(header)}"
                raise InvalidInput(f"{file}, line {reader.line_num}: has {count}.")
            yield Row(file, reader.line_num, dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise InvalidInput(f"{file}, line {reader.line_num}: is no CSV ({error}).") from None
