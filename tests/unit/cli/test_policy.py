"""`madang policy`: limits are read as people write them, and a bad one is told before anything is sent."""

from __future__ import annotations

import pytest

from madang.cli.policy import _setting
from madang.domain.errors import InvalidInput


def test_settings_name_a_limit_and_a_value() -> None:
    assert _setting("sessions=5") == ("sessions", "5")
    assert _setting("slots.cuda.device=2") == ("slots.cuda.device", "2")


@pytest.mark.parametrize("written", ["sessions", "sessions=", "slots=2", "slots.=2", "speed=3", "=3"])
def test_what_is_no_setting_is_told_with_those_there_are(written: str) -> None:
    with pytest.raises(InvalidInput, match=r"slots\.SLOT, sessions"):
        _setting(written)
