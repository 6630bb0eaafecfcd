"""How the command line writes: tables and JSON on standard output, everything for people's eyes on standard error."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from madang.cli.i18n import t

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console

Progress = Callable[[float, str], None]
"""Takes the part that is done, 0 to 1, and what is being done."""


@functools.cache
def out() -> Console:
    """Standard output; when it is no terminal nothing is wrapped or cut."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 4096)


@functools.cache
def err() -> Console:
    """Standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def note(message: str) -> None:
    """A dim remark on standard error."""
    err().print(message, style="dim", markup=False)


def warn(message: str) -> None:
    """A yellow line on standard error."""
    err().print(f"{t('output.warning')}: {message}", style="yellow", markup=False)


def fail(message: str) -> None:
    """One red line on standard error."""
    err().print(f"{t('output.error')}: {message}", style="bold red", markup=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """Rows beneath their column names, or the sentence `empty` when there are none."""
    if not rows:
        note(empty)
        return
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    out().print(made)


def fields(pairs: Mapping[str, str]) -> None:
    """Names and values, one pair a line; an empty value leaves its line out."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, value in pairs.items():
        if value:
            made.add_row(name, Text(value))
    out().print(made)


def dump(value: BaseModel | Sequence[BaseModel] | Mapping[str, object]) -> None:
    """JSON on standard output: what the API says, unchanged."""
    if isinstance(value, Mapping):
        plain: object = value
    elif isinstance(value, Sequence):
        plain = [item.model_dump(mode="json") for item in value]
    else:
        plain = value.model_dump(mode="json")
    print(json.dumps(plain, indent=2, ensure_ascii=False))


@contextlib.contextmanager
def bar(description: str) -> Iterator[Progress]:
    """A progress bar on standard error; on no terminal, a line when it begins and nothing more."""
    if not err().is_terminal:
        note(description)
        yield lambda part, message: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[message]}", markup=True),
    )
    with Progress(*columns, console=err(), transient=True) as progress:
        task = progress.add_task(description, total=1.0, message="")
        yield lambda part, message: progress.update(task, completed=part, message=message.replace("[", r"\["))


def human_bytes(size: int | float) -> str:
    """`1.5 GiB`, for reading, not for computing."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def age(moment: datetime | None, now: datetime | None = None) -> str:
    """How long ago: `12s`, `5m`, `3h`, `2d`; empty for None."""
    if moment is None:
        return ""
    seconds = max(0, int(((now or datetime.now(UTC)) - moment).total_seconds()))
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "m"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // divisor}{unit}"
    return f"{seconds // 86_400}d"


def slots(amounts: Mapping[str, int]) -> str:
    """Amounts for people: `cpu 0.5, mem 8g`."""
    from madang.domain.slots import Slots

    return Slots(amounts).human()


def plain(cell: str) -> str:
    """What a spreadsheet would take for a formula, as text."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
