"""Benchmarks judge what they measured against the budgets, and write it where programs can read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import GROUPS, save, selected
from benchmarks.base import BUDGETS, Result, percentile


def test_every_budget_is_measured_by_one_group() -> None:
    assert sorted(name for group in GROUPS for name in group.NAMES) == sorted(BUDGETS)


def test_a_budget_is_a_ceiling_or_a_floor() -> None:
    assert Result("idle-rss-mib", 300).ok
    assert not Result("idle-rss-mib", 300.1).ok
    assert Result("api-reads-rps", 2000).ok
    assert not Result("api-reads-rps", 1999).ok


def test_an_error_misses_the_budget_however_fast_it_was() -> None:
    assert not Result("burst-100-s", 0.1, errors=1).ok


def test_percentiles_are_measured_values() -> None:
    values = [float(value) for value in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.95), percentile([7.0], 0.99)) == (50, 95, 7)


def test_some_are_chosen_by_name_and_an_unknown_name_lists_all() -> None:
    assert selected(None) == set(BUDGETS)
    assert selected("idle-rss-mib, burst-100-s") == {"idle-rss-mib", "burst-100-s"}
    with pytest.raises(SystemExit, match="session-start-p50-ms"):
        selected("session-start")


def test_results_are_saved_for_programs(tmp_path: Path) -> None:
    save([Result("burst-100-s", 0.51239, None)], tmp_path / "build" / "bench.json")
    assert json.loads((tmp_path / "build" / "bench.json").read_text()) == [
        {"name": "burst-100-s", "value": 0.5124, "unit": "s", "budget": 1, "baseline": None, "ok": True}
    ]
