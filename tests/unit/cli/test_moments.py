"""Moments are read as people write them, in local time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from madang.cli.moments import local_zone, parse_moment, show_moment
from madang.domain.errors import InvalidInput

NOW = datetime(2026, 12, 1, 3, 30, tzinfo=UTC)  # 12:30 in Seoul


@pytest.fixture(autouse=True)
def in_seoul(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Seoul")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("2026-12-03 09:00", "2026-12-03T09:00:00+09:00"),
        ("2026-12-03", "2026-12-03T00:00:00+09:00"),
        ("2026-12-03T09:00:00Z", "2026-12-03T18:00:00+09:00"),
        ("+2h", "2026-12-01T14:30:00+09:00"),
        ("+1h30m", "2026-12-01T14:00:00+09:00"),
        ("13:00", "2026-12-01T13:00:00+09:00"),
        ("9:00", "2026-12-02T09:00:00+09:00"),
        ("today 09:00", "2026-12-01T09:00:00+09:00"),
        ("Tomorrow 09:00", "2026-12-02T09:00:00+09:00"),
        ("내일 09:00", "2026-12-02T09:00:00+09:00"),
    ],
)
def test_the_ways_people_write_them(written: str, means: str) -> None:
    assert parse_moment(written, NOW) == datetime.fromisoformat(means)


@pytest.mark.parametrize("written", ["", "soon", "25:00", "yesterday 09:00", "+2", "2026-13-01", "99999-01-01"])
def test_anything_else_is_refused(written: str) -> None:
    with pytest.raises(InvalidInput, match="write e"):
        parse_moment(written, NOW)


def test_they_are_shown_in_local_time() -> None:
    assert show_moment(NOW) == "2026-12-01 12:30"
    assert show_moment(None) == ""
    assert local_zone() == "Asia/Seoul"
