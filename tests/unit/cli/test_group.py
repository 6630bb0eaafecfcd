"""Settings of a resource group are read as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from madang.cli.group import _apply, _setting, days
from madang.cli.reservation import _days
from madang.domain.errors import InvalidInput
from madang.schemas.api import GroupPolicy

CALENDAR = """
[[window]]
name = "day"
days = ["mon", "tue"]
start = "09:00"
end = "18:00"
gpus = "whole"

[[window]]
name = "night"
"""


def settled(*written: str) -> GroupPolicy:
    fields = GroupPolicy().model_dump(mode="json")
    for one in written:
        _apply(fields, *_setting(one))
    return GroupPolicy.model_validate(fields)


def test_settings_become_a_policy(tmp_path: Path) -> None:
    file = tmp_path / "calendar.toml"
    file.write_text(CALENDAR)
    policy = settled(
        "queue=fair-share",
        "placement=spread",
        "backfill=no",
        "aging=0",
        "half-life=2d",
        "weight.kim=2.5",
        "project-weight.vision=0.5",
        "preemption=true",
        "grace=1m",
        "timezone=Asia/Seoul",
        f"calendar=@{file}",
        "reservation-lead=30m",
    )
    assert (policy.queue, policy.placement, policy.backfill, policy.preemption) == ("fair-share", "spread", False, True)
    assert (policy.aging_seconds, policy.half_life_days, policy.preemption_grace_seconds) == (0, 2, 60)
    assert (policy.user_weights, policy.project_weights) == ({"kim": 2.5}, {"vision": 0.5})
    assert [window.name for window in policy.calendar] == ["day", "night"]
    assert policy.calendar[0].gpus == "whole"
    assert policy.reservation_lead_hours == 0.5
    assert settled(f"calendar=@{file}", "calendar=none").calendar == []


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("queue", "SETTING=VALUE"),
        ("que=drf", "one of queue, placement"),
        ("backfill=maybe", "true or false"),
        ("aging=1", "90s, 30m"),
        ("calendar=file.toml", "@FILE.toml"),
    ],
)
def test_what_is_misread_is_said(written: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        settled(written)


@pytest.mark.parametrize(("text", "says"), [("x = ", "Invalid value"), ("name = 1", "list of ..window")])
def test_a_calendar_file_that_is_none_is_said(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "calendar.toml"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=says):
        settled(f"calendar=@{file}")


def test_days_are_read_and_written() -> None:
    assert _days("mon-fri") == ["mon", "tue", "wed", "thu", "fri"]
    assert _days("sat-mon, wed") == ["sat", "sun", "mon", "wed"]
    assert _days("Tue") == ["tue"]
    with pytest.raises(InvalidInput, match="mon-fri"):
        _days("someday")
    assert days(["mon", "tue", "wed", "sun"]) == "mon-wed, sun"
