"""Runs the benchmarks: `python -m benchmarks [--only name,name]`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import burst, idle, openb, placements, plan_pass, reads, session_start, start
from benchmarks.base import BUDGETS, Bench, Result
from scripts.private_platform import ROOT

GROUPS = (start, idle, session_start, burst, reads, placements, plan_pass, openb)


def selected(text: str | None) -> set[str]:
    """The names asked for; all without a wish. Exits with a message for an unknown one."""
    wanted = {name.strip() for name in (text or "").split(",") if name.strip()}
    unknown = wanted - BUDGETS.keys()
    if unknown:
        sys.exit(f"Unknown: {', '.join(sorted(unknown))}. There are: {', '.join(BUDGETS)}.")
    return wanted or set(BUDGETS)


def run(wanted: set[str], console: Console) -> list[Result]:
    """Measure every group that has one of the wanted names."""
    results: list[Result] = []
    with Bench(console) as bench:
        for group in GROUPS:
            names = [name for name in group.NAMES if name in wanted]
            if names:
                console.print(f"measuring {', '.join(names)}")
                results += [result for result in group.measure(bench) if result.name in wanted]
    return results


def table(results: list[Result]) -> Table:
    """The results beside their budgets."""
    shown = Table(box=None, pad_edge=False)
    for heading in ("figure", "measured", "budget", "baseline", ""):
        shown.add_column(heading, no_wrap=True)
    shown.add_column("notes")
    for result in results:
        budget = result.budget
        shown.add_row(
            result.name,
            f"{result.value:,.4g} {budget.unit}",
            f"{'at least' if budget.at_least else 'at most'} {budget.limit:,g}",
            "" if result.baseline is None else f"{result.baseline:,.4g}",
            "[green]kept[/]" if result.ok else "[red]missed[/]",
            result.note,
        )
    return shown


def save(results: list[Result], path: Path) -> None:
    """Write the results for programs: a list of name, value, unit, budget, baseline, ok."""
    rows = [
        {
            "name": result.name,
            "value": round(result.value, 4),
            "unit": result.budget.unit,
            "budget": result.budget.limit,
            "baseline": None if result.baseline is None else round(result.baseline, 4),
            "ok": result.ok,
        }
        for result in results
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(rows, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", help="names of figures, separated by commas")
    wanted = selected(parser.parse_args().only)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 150
    console.print(f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB")
    results = run(wanted, console)
    console.print(table(results))
    save(results, ROOT / "build" / "bench.json")
    measured = {result.name for result in results}
    if absent := [name for name in BUDGETS if name in wanted - measured]:
        console.print(f"not measured: {', '.join(absent)}")
    missed = [result.name for result in results if not result.ok]
    console.print(f"missed: {', '.join(missed)}" if missed else f"all {len(results)} budgets kept")


if __name__ == "__main__":
    main()
