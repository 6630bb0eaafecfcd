"""Usage: what sessions held is known to the second, while they run, when they have ended, and when they are gone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction

import pytest

from madang.db.repositories import spans
from madang.domain.errors import InvalidInput
from madang.domain.people import Caller
from madang.domain.session import SessionState
from madang.domain.usage import Model, Period, Span, used, used_by
from tests.world import World


async def _spans(world: World, caller: Caller, since: datetime) -> Sequence[Span]:
    now = world.clock.now()
    period = Period(since, now + timedelta(days=1))
    return await world.database.read(lambda connection: spans.within(connection, caller, period, now))


async def test_a_known_script_of_sessions_uses_the_slot_seconds_reckoned_by_hand(cluster: World) -> None:
    """Two hours of 0.5 GPU and 1 core; one hour of two containers of 1 GPU and 2 cores each, which are still held."""
    began = cluster.clock.now()
    ann, bob = await cluster.caller("ann", "user"), await cluster.caller("bob", "user")
    first = await cluster.run(ann, slots={"cpu": "1", "mem": "64m", "cuda.shares": "0.5"}, name="first")
    await cluster.until(ann, first.id, SessionState.RUNNING)
    cluster.clock.ahead += timedelta(hours=1)
    second = await cluster.run(bob, slots={"cpu": "2", "mem": "64m", "cuda.device": "1"}, size=2, name="second")
    await cluster.until(bob, second.id, SessionState.RUNNING)
    cluster.clock.ahead += timedelta(hours=1)
    found = await _spans(cluster, await cluster.caller(), began)
    by_user = used_by(found, "user")
    assert _near(by_user["ann"].slot_seconds()["cpu"], 7200 * 1000, of=1000)
    assert _near(by_user["ann"].gpu_hours() * 3600, 3600, of=1)
    assert _near(by_user["bob"].slot_seconds()["cpu"], 3600 * 4000, of=4000)
    assert _near(by_user["bob"].gpu_hours() * 3600, 7200, of=2)
    assert set(used(found).devices) == {Model("cuda", "A100")}
    assert set(used_by(found, "project")) == {"default"}

    await cluster.services.sessions.stop(ann, first.id, 0)
    ended = await cluster.until(ann, first.id, SessionState.STOPPED)
    await cluster.services.sessions.delete(ann, first.id)
    cluster.clock.ahead += timedelta(hours=5)  # which are no longer its own
    again = [one for one in await _spans(cluster, ann, began) if one.user == "ann"]
    assert len(again) == 1
    assert again[0].until == ended.ended_at
    assert used(again).slot_seconds()["cpu"] == Fraction(
        (again[0].until - again[0].since) // timedelta(microseconds=1), 1000
    )


async def test_everybody_sees_what_is_theirs_to_see(cluster: World) -> None:
    began = cluster.clock.now()
    ann, bob = await cluster.caller("ann", "user"), await cluster.caller("bob", "user")
    for caller in (ann, bob):
        made = await cluster.run(caller)
        await cluster.until(caller, made.id, SessionState.RUNNING)
    head, admin = await cluster.caller("head", "domain_admin"), await cluster.caller()
    seen = [sorted({one.user for one in await _spans(cluster, who, began)}) for who in (ann, bob, head, admin)]
    assert seen == [["ann"], ["bob"], ["ann", "bob"], ["ann", "bob"]]


def _near(found: Fraction, expected: int, *, of: int) -> bool:
    """Within five seconds, which the steps between may take."""
    return abs(found - expected) <= 5 * of


async def test_the_report_of_a_month_says_who_held_how_much(cluster: World) -> None:
    now = cluster.clock.now()
    cluster.clock.ahead += (now + timedelta(days=31)).replace(day=15) - now  # far from where a month ends
    ann = await cluster.caller("ann", "user")
    made = await cluster.run(ann, slots={"cpu": "2", "mem": "64m", "cuda.device": "1"})
    await cluster.until(ann, made.id, SessionState.RUNNING)
    cluster.clock.ahead += timedelta(hours=1)
    this_month = f"{cluster.clock.now():%Y-%m}"
    report = await cluster.services.usage.report(ann, "user", this_month)
    assert [row.name for row in report.rows] == ["ann"]
    assert abs(report.rows[0].gpu_hours - 1) < 0.01
    assert [(one.kind, one.model) for one in report.rows[0].device_hours] == [("cuda", "A100")]
    assert (await cluster.services.usage.report(ann, "project", "2020-01", "Asia/Seoul")).rows == []
    for wrong in ("2026-13", "soon", "99999-01"):
        with pytest.raises(InvalidInput, match="no month"):
            await cluster.services.usage.report(ann, "user", wrong)
