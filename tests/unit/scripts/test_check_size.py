"""Files and functions that are too long to read in one sitting are refused."""

from __future__ import annotations

from scripts.check_size import too_long


def function(lines: int) -> str:
    return "def f():\n" + "    x = 1\n" * (lines - 1)


def test_lengths_up_to_the_limits_pass() -> None:
    assert not list(too_long("src/a.py", function(70)))
    assert not list(too_long("src/a.py", "x = 1\n" * 500))


def test_longer_ones_are_named() -> None:
    assert list(too_long("src/a.py", function(71))) == ["src/a.py:1: f has 71 lines, at most 70 are allowed"]
    assert list(too_long("src/a.py", "x = 1\n" * 501)) == ["src/a.py: 501 lines, at most 500 are allowed"]


def test_the_steps_of_a_migration_may_be_long() -> None:
    assert not list(too_long("src/madang/db/migrations/0001.py", function(200)))
