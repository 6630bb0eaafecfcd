"""Identifiers are unique, look alike and sort by the time they were made."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from madang.domain.ids import ID_LENGTH, SystemClock, new_id
from madang.domain.names import check_name, relative_path


def test_an_id_is_26_plain_characters() -> None:
    for _ in range(200):
        made = new_id()
        assert re.fullmatch(r"[0-9a-hjkmnp-tv-z]{26}", made)
        assert len(made) == ID_LENGTH == 26


def test_an_id_can_be_a_name_and_a_file() -> None:
    made = new_id()
    assert check_name(made) == made
    assert relative_path(made) == (made,)


def test_ids_made_at_once_in_many_threads_differ() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: new_id(), range(20_000)))
    assert len(set(made)) == len(made)


def test_ids_sort_by_the_time_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    start = datetime(2024, 2, 29, tzinfo=UTC)
    steps = [0.0, 0.001, 0.002, 1, 60, 86_400, 366 * 86_400, 100 * 366 * 86_400, 2000 * 366 * 86_400]
    made = []
    for step in steps:
        at = int((start + timedelta(seconds=step)).timestamp() * 1000) * 1_000_000
        monkeypatch.setattr(time, "time_ns", lambda at=at: at)
        made.extend(sorted(new_id() for _ in range(5)))
    assert made == sorted(made)
    assert {len(one) for one in made} == {26}


def test_the_clock_knows_its_time_zone() -> None:
    now = SystemClock().now()
    assert now.utcoffset() == timedelta(0)
    assert abs(now.timestamp() - time.time()) < 60
