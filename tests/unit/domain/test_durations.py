"""Lengths of time are read as people write them, and written so that they can be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madang.domain.durations import format_seconds, parse_seconds
from madang.domain.errors import InvalidInput


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400), ("7d", 604_800), ("1W 2d", 777_600)],
)
def test_the_ways_people_write_them(written: str, seconds: float) -> None:
    assert parse_seconds(written) == seconds


@pytest.mark.parametrize("written", ["", "30", "h", "1h30", "-1h", "1y", "1,5h", "1e3s", "inf", "9" * 30 + "h"])
def test_anything_else_is_refused_with_examples(written: str) -> None:
    with pytest.raises(InvalidInput, match=r"write e\.g\. 90s, 30m, 2h"):
        parse_seconds(written)


@given(st.integers(0, 10**9))
def test_what_is_written_is_read_back(seconds: int) -> None:
    assert parse_seconds(format_seconds(seconds)) == seconds
