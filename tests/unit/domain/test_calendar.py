"""A calendar has one rule at every moment, also where clocks are changed; schedules come when people expect them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madang.domain.calendar import (
    DAYS,
    HORIZON_SECONDS,
    Once,
    Weekly,
    check_calendar,
    occurrence_from,
    occurrences,
    parse_weekly,
    windows_from,
    zone_of,
)
from madang.domain.errors import InvalidInput

WORKDAYS = ["mon", "tue", "wed", "thu", "fri"]
WEEKEND = ["sat", "sun"]
BERLIN = zone_of("Europe/Berlin")
SEOUL = zone_of("Asia/Seoul")
ZONES = ["UTC", "Asia/Seoul", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo"]


def at(written: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(written).replace(tzinfo=zone_of(zone)).timestamp()


def written(moment: float, zone: str = "UTC") -> str:
    return datetime.fromtimestamp(moment, zone_of(zone)).strftime("%Y-%m-%d %H:%M")


def day_and_night() -> list[tuple[str, Weekly]]:
    return [
        ("day", parse_weekly(WORKDAYS, "09:00", "18:00")),
        ("night", parse_weekly(["mon", "tue", "wed", "thu"], "18:00", "09:00")),
        ("weekend", parse_weekly(["fri"], "18:00", "24:00")),
        ("weekend", parse_weekly(WEEKEND, "00:00", "24:00")),
        ("weekend", parse_weekly(["mon"], "00:00", "09:00")),
    ]


def test_day_night_and_weekend_make_a_calendar() -> None:
    check_calendar(day_and_night())
    check_calendar([])


@pytest.mark.parametrize(
    ("windows", "says"),
    [
        ([("work", parse_weekly(WORKDAYS, "00:00", "24:00"))], "No window covers Saturday 00:00 to Sunday 24:00."),
        (
            [("work", parse_weekly(DAYS, "09:00", "18:00"))],
            "No window covers Monday 18:00 to Tuesday 09:00, and 6 more",
        ),
        ([("a", parse_weekly(["tue"], "00:00", "24:00"))], "No window covers Wednesday 00:00 to Monday 24:00."),
        (
            [("a", parse_weekly(["mon"], "06:00", "24:00")), ("b", parse_weekly(DAYS[1:], "00:00", "24:00"))],
            "No window covers Monday 00:00 to Monday 06:00.",
        ),
        (
            [("day", parse_weekly(DAYS, "08:00", "20:00")), ("night", parse_weekly(DAYS, "19:30", "08:00"))],
            "'day' and 'night' both cover Monday 19:30 to Monday 20:00.",
        ),
        (
            [("all", parse_weekly(DAYS, "00:00", "24:00")), ("tea", parse_weekly(["sun"], "15:00", "16:00"))],
            "'all' and 'tea' both cover Sunday 15:00 to Sunday 16:00.",
        ),
    ],
)
def test_a_gap_or_an_overlap_is_named(windows: Sequence[tuple[str, Weekly]], says: str) -> None:
    with pytest.raises(InvalidInput, match=says.replace(".", r"\.")):
        check_calendar(windows)


@pytest.mark.parametrize(
    ("days", "start", "end", "says"),
    [
        (["someday"], "09:00", "10:00", "not a day of the week"),
        ([], "09:00", "10:00", "at least one day"),
        (["mon"], "9:00", "10:00", "write e.g. 09:00"),
        (["mon"], "09:61", "10:00", "write e.g. 09:00"),
        (["mon"], "09:00", "24:01", "the last is 24:00"),
        (["mon"], "24:00", "10:00", "next day"),
    ],
)
def test_unreadable_times_are_refused(days: list[str], start: str, end: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        parse_weekly(days, start, end)


@pytest.mark.parametrize("name", ["Asia/Soul", "", "../etc/passwd", "/etc/localtime", "Europe"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="not a time zone"):
        zone_of(name)


def test_the_window_in_force_and_the_next_ones() -> None:
    windows = [weekly for _, weekly in day_and_night()]
    friday = at("2026-12-04 17:00", "Asia/Seoul")
    found = windows_from(windows, SEOUL, friday)
    assert [(windows_from_name(index), written(start, "Asia/Seoul")) for index, start, _ in found[:4]] == [
        ("day", "2026-12-04 09:00"),
        ("weekend", "2026-12-04 18:00"),
        ("weekend", "2026-12-05 00:00"),
        ("weekend", "2026-12-07 00:00"),
    ]
    # Saturday and Sunday meet at midnight: they are one.
    assert written(found[2][2], "Asia/Seoul") == "2026-12-07 00:00"


def windows_from_name(index: int) -> str:
    return day_and_night()[index][0]


def test_a_class_every_tuesday_is_on_now_or_next() -> None:
    lesson = parse_weekly(["tue"], "09:00", "12:00")
    for now, start in [
        ("2026-12-01 08:59", "2026-12-01 09:00"),
        ("2026-12-01 09:00", "2026-12-01 09:00"),
        ("2026-12-01 11:59", "2026-12-01 09:00"),
        ("2026-12-01 12:00", "2026-12-08 09:00"),
        ("2026-12-03 00:00", "2026-12-08 09:00"),
    ]:
        found = occurrence_from(lesson, SEOUL, at(now, "Asia/Seoul"))
        assert found is not None
        assert written(found[0], "Asia/Seoul") == start
        assert found[1] - found[0] == 3 * 3600


def test_what_is_only_once_is_over_afterwards() -> None:
    once = Once(100, 200)
    assert occurrence_from(once, UTC, 50) == (100, 200)
    assert occurrence_from(once, UTC, 199) == (100, 200)
    assert occurrence_from(once, UTC, 200) is None
    assert occurrences(once, UTC, 0, 100) == []
    assert occurrences(once, UTC, 150, 300) == [(100, 200)]


def test_every_day_round_the_clock_is_always_on() -> None:
    always = parse_weekly(DAYS, "00:00", "24:00")
    now = at("2026-03-29 12:00", "Europe/Berlin")
    found = occurrence_from(always, BERLIN, now)
    assert found is not None
    assert found[0] < now
    assert found[1] >= now + HORIZON_SECONDS


def test_a_time_that_the_clock_skips_is_the_moment_of_the_skip() -> None:
    # In Berlin the clock goes from 02:00 to 03:00 on 2026-03-29.
    skip = at("2026-03-29 01:00", "UTC")
    day = at("2026-03-29 00:30", "Europe/Berlin")
    early = occurrences(parse_weekly(["sun"], "01:00", "02:30"), BERLIN, day, day + 7200)
    late = occurrences(parse_weekly(["sun"], "02:30", "04:00"), BERLIN, day, day + 7200)
    assert early == [(skip - 3600, skip)]
    assert late == [(skip, skip + 3600)]
    within = occurrences(parse_weekly(["sun"], "02:10", "02:50"), BERLIN, day, day + 7200)
    assert within == []
    skipped = occurrence_from(parse_weekly(["sun"], "02:10", "02:50"), BERLIN, day)
    assert skipped is not None
    assert written(skipped[0], "Europe/Berlin") == "2026-04-05 02:10"


def test_a_time_that_comes_twice_counts_when_it_comes_first() -> None:
    # In Berlin the clock goes from 03:00 back to 02:00 on 2026-10-25.
    day = at("2026-10-25 00:30", "Europe/Berlin")
    [(start, end)] = occurrences(parse_weekly(["sun"], "02:30", "04:00"), BERLIN, day, day + 10_800)
    assert start == at("2026-10-25 00:30", "UTC")
    assert end - start == 2.5 * 3600


@st.composite
def calendars(draw: st.DrawFn) -> list[Weekly]:
    """Windows that tile the week: cut anywhere, each piece at most a day long."""
    cuts = sorted(draw(st.sets(st.integers(0, 7 * 1440 - 1), min_size=0, max_size=8)) | set(range(0, 7 * 1440, 1440)))
    shift = draw(st.integers(0, 1439))
    cuts = sorted((cut + shift) % (7 * 1440) for cut in cuts)
    ends = [*cuts[1:], cuts[0] + 7 * 1440]
    return [
        Weekly(frozenset({start // 1440}), start % 1440, end % 1440 if end % 1440 or start % 1440 >= 1 else 1440)
        for start, end in zip(cuts, ends, strict=True)
    ]


@given(
    windows=calendars(),
    zone=st.sampled_from(ZONES),
    now=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),
)
def test_there_is_one_rule_at_every_moment(windows: list[Weekly], zone: str, now: datetime) -> None:
    check_calendar([(str(index), weekly) for index, weekly in enumerate(windows)])
    moment = now.replace(tzinfo=UTC).timestamp()
    found = windows_from(windows, zone_of(zone), moment)
    assert found[0][1] <= moment < found[0][2]
    assert found[-1][2] >= moment + HORIZON_SECONDS
    for (_, start, end), (_, following, _) in pairwise(found):
        assert start < end == following


@given(
    windows=calendars(),
    zone=st.sampled_from(["UTC", "Asia/Seoul"]),  # where no clock is changed
    now=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),
)
def test_the_rule_is_that_of_the_time_on_the_clock(windows: list[Weekly], zone: str, now: datetime) -> None:
    local = now.replace(tzinfo=zone_of(zone))
    minute = local.weekday() * 1440 + local.hour * 60 + local.minute
    index = windows_from(windows, zone_of(zone), local.timestamp())[0][0]
    [day] = windows[index].days
    assert (minute - day * 1440 - windows[index].start) % (7 * 1440) < windows[index].length


@given(
    weekly=st.builds(Weekly, st.frozensets(st.integers(0, 6), min_size=1), st.integers(0, 1439), st.integers(0, 1440)),
    zone=st.sampled_from(ZONES),
    now=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),
)
def test_spans_are_in_order_apart_and_repeat(weekly: Weekly, zone: str, now: datetime) -> None:
    moment = now.replace(tzinfo=UTC).timestamp()
    until = moment + timedelta(days=30).total_seconds()
    found = occurrences(weekly, zone_of(zone), moment, until)
    if weekly.length > 120:  # shorter ones may be skipped by the clock
        assert found
        assert found[0] == occurrence_from(weekly, zone_of(zone), moment) or len(weekly.days) == 7
    for (_, end), (start, other_end) in pairwise(found):
        assert end < start < other_end
