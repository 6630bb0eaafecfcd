"""Moments as people write and read them, in the local time of this machine."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Final

from madang.cli.i18n import t
from madang.domain.durations import parse_seconds
from madang.domain.errors import InvalidInput

_DAYS: Final = {"today": 0, "tomorrow": 1, "오늘": 0, "내일": 1, "모레": 2}
_TIME: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)


def parse_moment(written: str, now: datetime | None = None) -> datetime:
    """Read `2026-12-01 09:00`, `+2h`, `tomorrow 09:00`, `09:00` (when it comes next); raises InvalidInput.

    What has no time zone is local time.
    """
    at = (now or datetime.now(UTC)).astimezone()
    text = written.strip()
    if text.startswith("+"):
        return at + timedelta(seconds=parse_seconds(text[1:]))
    day, _, clock = text.rpartition(" ")
    if (match := _TIME.fullmatch(clock)) and (not day or day.lower() in _DAYS):
        date = at.date() + timedelta(days=_DAYS[day.lower()] if day else 0)
        found = datetime.combine(date, time(int(match[1]), int(match[2]))).astimezone()
        if not day and found <= at:
            found = datetime.combine(date + timedelta(days=1), found.time()).astimezone()
        return found
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise InvalidInput(t("moment.unreadable", written=written[:40])) from None


def show_moment(moment: datetime | None) -> str:
    """`2026-12-01 09:00`, in local time; empty for None."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M}" if moment is not None else ""


def local_zone() -> str:
    """The name of this machine's time zone, such as `Asia/Seoul`; `UTC` where it has none."""
    name = os.environ.get("TZ", "").lstrip(":")
    if not name:
        name = str(Path("/etc/localtime").resolve()).rpartition("zoneinfo/")[2]
    return name if "/" in name and not name.startswith("/") else "UTC"
