"""Reasons are told in local time, and plans in sentences."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from madang.cli.waiting import devices_text, outlook, place_of, start_of
from madang.schemas.api import HeldDevice, PlanAnswer, PlannedContainer, Waiting

NOW = datetime(2026, 12, 1, 3, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def in_seoul(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Seoul")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def _waiting(code: str, position: int = 0, **values: str | int | float) -> Waiting:
    return Waiting(code=code, values=values, position=position, of=7, estimated_start=NOW + timedelta(hours=2))


def _answer(waiting: Waiting, reason: str = "", would_preempt: tuple[str, ...] = ()) -> PlanAnswer:
    return PlanAnswer(starts=False, placements=[], reason=reason, waiting=waiting, would_preempt=list(would_preempt))


def test_a_moment_in_a_reason_is_local() -> None:
    said = outlook(_answer(_waiting("not_before", time="2026-12-01 05:30 UTC")))
    assert said.startswith("It would wait: starts at 2026-12-01 14:30, as asked.")


def test_a_name_that_looks_like_a_moment_stays() -> None:
    assert "waits for job UTC to end" in outlook(_answer(_waiting("after", name="job UTC")))


def test_who_would_give_way_is_told() -> None:
    said = outlook(_answer(_waiting("preempting", count=2), would_preempt=("a", "b")))
    assert said.startswith("It would start as soon as others have given way: a, b. Estimated start: 2026-12-01 14:30")


def test_places_and_starts() -> None:
    waiting = _waiting("behind", 3, group="default")
    assert place_of(waiting) == "3 of 7"
    assert start_of(waiting, NOW) == "2026-12-01 14:30 (in 2h)"
    assert place_of(_waiting("after", name="x")) == ""  # not in the queue yet
    assert (place_of(None), start_of(None)) == ("", "")


def test_devices_are_told_as_people_say_them() -> None:
    held = [HeldDevice(kind="cuda", index=0, milli=1000), HeldDevice(kind="cuda", index=2, milli=300)]
    assert devices_text(held) == "GPU 0, 0.3 of GPU 2"
    many = [PlannedContainer(rank=rank, node=f"n{rank}", devices=held[:1]) for rank in range(9)]
    said = outlook(PlanAnswer(starts=True, placements=many, reason="", waiting=None, would_preempt=[]))
    assert said.startswith("It would start at once with 9 containers on n0 (GPU 0), n1 (GPU 0)")
    assert said.endswith("n7 (GPU 0), ….")
