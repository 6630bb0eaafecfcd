"""Times that come back every week, in the local time of a place: calendars without gaps, and when a schedule is on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from madang.domain.errors import InvalidInput

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NAMES: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DAY: Final = 24 * 60
_WEEK: Final = 7 * _DAY

HORIZON_SECONDS: Final = 8 * 86_400.0
"""How far a calendar is looked ahead: a little more than the week after which it repeats."""

Span = tuple[float, float]
"""From and until, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Weekly:
    """A time of the day on some days of the week. `end` <= `start` passes midnight."""

    days: frozenset[int]  # 0 is Monday
    start: int  # minutes since midnight, 0 to 1439
    end: int  # 0 to 1440

    @property
    def length(self) -> int:
        """Minutes on the clock from start to end: 1 to 1440."""
        return self.end - self.start if self.end > self.start else self.end + _DAY - self.start


@dataclass(frozen=True, slots=True)
class Once:
    """A time that does not come back, in seconds since 1970."""

    starts: float
    ends: float


def parse_weekly(days: Iterable[str], start: str, end: str) -> Weekly:
    """Read `["mon", "fri"], "09:00", "24:00"`. Raises InvalidInput."""
    numbers = []
    for day in days:
        if day not in DAYS:
            raise InvalidInput(f"'{day[:20]}' is not a day of the week; write {', '.join(DAYS)}.")
        numbers.append(DAYS.index(day))
    if not numbers:
        raise InvalidInput("Name at least one day of the week.")
    begins = _minutes(start)
    if begins == _DAY:
        raise InvalidInput("A time begins at 00:00 of the next day, not at 24:00.")
    return Weekly(frozenset(numbers), begins, _minutes(end))


def _minutes(written: str) -> int:
    hours, colon, minutes = written.partition(":")
    numbers = written.isascii() and hours.isdigit() and minutes.isdigit()
    if not (numbers and colon and len(written) == 5 and len(minutes) == 2 and int(minutes) < 60):
        raise InvalidInput(f"'{written[:20]}' is not a time of the day; write e.g. 09:00.")
    total = int(hours) * 60 + int(minutes)
    if total > _DAY:
        raise InvalidInput(f"'{written}' is not a time of the day; the last is 24:00.")
    return total


def zone_of(name: str) -> tzinfo:
    """The time zone of a name such as `Asia/Seoul`. Raises InvalidInput."""
    if name == "UTC":
        return UTC  # known also where no time zones are installed
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidInput(
            f"'{name[:64]}' is not a time zone that this server knows; write e.g. Asia/Seoul or UTC "
            "(the package tzdata brings them)."
        ) from None


def check_calendar(windows: Sequence[tuple[str, Weekly]]) -> None:
    """Raises InvalidInput naming the first gap or overlap, unless the windows tile the week.

    `windows` are names with their times. None at all is no calendar, and right.
    """
    if not windows:
        return
    pieces = sorted(_pieces(windows))
    for (_, end, name), (start, other_end, other) in pairwise(pieces):
        if start < end:
            both = f"'{name}' covers" if name == other else f"'{name}' and '{other}' both cover"
            twice = " twice" if name == other else ""
            raise InvalidInput(f"{both} {_span(start, min(end, other_end))}{twice}. Let one end where the next begins.")
    gaps = [(one[1], next_one[0]) for one, next_one in pairwise(pieces) if one[1] < next_one[0]]
    first, last = pieces[0][0], pieces[-1][1]
    if first > 0 and last < _WEEK:
        gaps.append((last, first))  # one gap, across the end of the week
    elif first > 0:
        gaps.insert(0, (0, first))
    elif last < _WEEK:
        gaps.append((last, _WEEK))
    if gaps:
        more = f", and {len(gaps) - 1} more gaps" if len(gaps) > 2 else ", and one more gap" if len(gaps) == 2 else ""
        raise InvalidInput(
            f"No window covers {_span(*gaps[0])}{more}. Add a window for it, so that there is always one rule."
        )


def _pieces(windows: Iterable[tuple[str, Weekly]]) -> Iterator[tuple[int, int, str]]:
    """Minutes of the week that each window covers, cut where the week ends."""
    for name, weekly in windows:
        for day in weekly.days:
            start = day * _DAY + weekly.start
            end = start + weekly.length
            yield start, min(end, _WEEK), name
            if end > _WEEK:
                yield 0, end - _WEEK, name


def _span(start: int, end: int) -> str:
    """`Saturday 00:00 to Sunday 24:00`, from minutes of the week."""
    first = f"{_NAMES[start // _DAY % 7]} {start % _DAY // 60:02}:{start % 60:02}"
    day, minutes = divmod(end, _DAY)
    if minutes == 0:
        day, minutes = day - 1, _DAY
    return f"{first} to {_NAMES[day % 7]} {minutes // 60:02}:{minutes % 60:02}"


def windows_from(
    windows: Sequence[Weekly], zone: tzinfo, now: float, horizon: float = HORIZON_SECONDS
) -> list[tuple[int, float, float]]:
    """The window in force at `now` and those that follow, as (index, start, end) in seconds since 1970.

    The windows have to tile the week (see check_calendar); then each begins where the one before ends, over every
    change of the clock. What meets itself at midnight is one. The last one ends behind `now` + `horizon`.
    """
    spans = sorted(
        (start, end, index)
        for index, weekly in enumerate(windows)
        for start, end in occurrences(weekly, zone, now, now + horizon)
    )
    return [(index, start, end) for start, end, index in spans]


def occurrence_from(schedule: Weekly | Once, zone: tzinfo, now: float) -> Span | None:
    """When the schedule is on: now, or else next; None when it is over."""
    if isinstance(schedule, Once):
        return (schedule.starts, schedule.ends) if now < schedule.ends else None
    # Twice as far as a week, since one occurrence may be skipped by the clock.
    return next(iter(occurrences(schedule, zone, now, now + 2 * HORIZON_SECONDS)), None)


def occurrences(schedule: Weekly | Once, zone: tzinfo, since: float, until: float) -> list[Span]:
    """Every time the schedule is on within [since, until), whole, in order; those that meet are one.

    A time that the clock skips counts as the moment at which it skips; one that comes twice counts when it comes first.
    """
    if isinstance(schedule, Once):
        return [(schedule.starts, schedule.ends)] if schedule.starts < until and schedule.ends > since else []
    # More on each side: windows pass midnight, and what lies there may be joined to what is asked for.
    first = _local(since, zone).date() - timedelta(days=8)
    last = _local(until, zone).date() + timedelta(days=1)
    joined: list[Span] = []
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        if day.weekday() not in schedule.days:
            continue
        start, end = _moment(day, schedule.start, zone), _moment(day, schedule.start + schedule.length, zone)
        if start == end:
            continue  # the clock skipped all of it
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [(start, end) for start, end in joined if start < until and end > since]


def day_begins(day: date, zone: tzinfo) -> float:
    """When a day begins in a place, in seconds since 1970; also where the clock skips midnight."""
    return _moment(day, 0, zone)


def _moment(day: date, minutes: int, zone: tzinfo) -> float:
    """The first moment at which the clock of the place shows this time of the day, or is beyond it."""
    wanted = datetime.combine(day, time()) + timedelta(minutes=minutes)
    moment = wanted.replace(tzinfo=zone).timestamp()
    if _local(moment, zone) == wanted:
        return moment
    # The clock skips it. PEP 495: fold=1 gives a moment before the skip, fold=0 one behind it.
    before, behind = int(wanted.replace(tzinfo=zone, fold=1).timestamp()), int(moment)
    while behind - before > 1:
        middle = (before + behind) // 2
        if _local(middle, zone) < wanted:
            before = middle
        else:
            behind = middle
    return float(behind)


def _local(moment: float, zone: tzinfo) -> datetime:
    """What the clock of the place shows at a moment."""
    return datetime.fromtimestamp(moment, zone).replace(tzinfo=None)
