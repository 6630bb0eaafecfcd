"""Use counts half after a half-life, also that of a session that runs for long."""

from __future__ import annotations

import pytest

from madang.domain.decay import decayed_seconds

DAY = 86_400.0


def test_what_is_used_decays_while_it_is_used() -> None:
    assert decayed_seconds(60, 7 * DAY) == pytest.approx(60, rel=1e-4)
    assert decayed_seconds(1e9, DAY) == pytest.approx(DAY / 0.6931, rel=1e-4)  # no more than this, ever
    in_parts = decayed_seconds(DAY, DAY) * 0.5 + decayed_seconds(DAY, DAY)
    assert decayed_seconds(2 * DAY, DAY) == pytest.approx(in_parts)
