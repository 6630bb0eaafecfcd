"""Budgets and GPU-hours: what is spent is known, told once, and stops what the rule says, until the next month."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from madang.db.repositories import events
from madang.db.rows import EventRow
from madang.domain.errors import BudgetSpent, Forbidden, InvalidInput, LimitExceeded
from madang.domain.people import Caller
from madang.domain.session import SessionState
from madang.schemas.api import PolicyLimits, SessionCreate
from madang.schemas.money import Budget, PriceTable
from tests.fakes import FakeAgent
from tests.world import World, eventually

GPU = {"cpu": "1", "mem": "64m", "cuda.device": "1"}


@pytest.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """Four A100 at 100 KRW an hour, in the middle of a month; nodes and manager have one clock."""
    agent = FakeAgent("node1", gpus=["A100"] * 4)
    made = World(database_url, tmp_path, [agent])
    now = datetime.now(UTC)
    made.clock.ahead = (now + timedelta(days=31)).replace(day=15, hour=12) - now
    agent.now = made.clock.now
    await made.start()
    prices = PriceTable(currency="KRW", digits=0, models={"A100": "100"})
    await made.services.prices.put(await made.caller(), prices)
    yield made
    await made.crash()


async def _told(world: World, kind: str) -> list[EventRow]:
    found = await world.database.read(lambda connection: events.after(connection, (0, 0), limit=10_000))
    return [one for one in found.events if one.kind == kind]


async def _pass(world: World, **time: float) -> None:
    world.clock.ahead += timedelta(**time)
    await world.meter.step()


async def _begin(world: World, budget: Budget) -> tuple[Caller, str]:
    """Somebody whose session of one GPU runs in the default project, which gets a budget."""
    ann = await world.caller("ann", "user")
    await world.services.budgets.put(await world.caller(), "default", "default", budget)
    made = await world.run(ann, slots=GPU)
    await world.until(ann, made.id, SessionState.RUNNING)
    return ann, made.id


async def test_a_budget_warns_once_closes_and_opens_with_the_next_month(site: World) -> None:
    ann, first = await _begin(site, Budget(amount="1000"))
    await _pass(site, hours=7.9)
    assert await _told(site, "budget.warning") == []
    waiting = await site.run(ann, slots={**GPU, "cuda.device": "4"})  # there is room for it only later
    await _pass(site, hours=0.2)
    await site.meter.step()
    [warning] = await _told(site, "budget.warning")
    assert (warning.data["project"], warning.data["amount"], warning.data["currency"]) == ("default", "1000", "KRW")
    await _pass(site, hours=2)
    await site.meter.step()
    assert len(await _told(site, "budget.reached")) == 1
    with pytest.raises(BudgetSpent, match="has spent its budget of 1000 KRW for this month"):
        await site.run(ann)
    with pytest.raises(BudgetSpent):
        await site.services.sessions.plan(ann, SessionCreate(command=["x"]))
    assert (await site.services.sessions.get(ann, first)).state is SessionState.RUNNING
    await site.services.sessions.stop(ann, first, 0)  # now there is room, but no money

    async def says_so() -> bool:
        told = (await site.services.sessions.get(ann, waiting.id)).waiting
        return told is not None and told.code == "budget" and told.values["amount"] == "1000 KRW"

    await eventually(says_so)
    spending = await site.services.budgets.get(await site.caller(), "default", "default")
    assert (spending.standing, spending.spent, spending.until.day) == ("spent", "1010", 1)
    site.clock.ahead += spending.until - site.clock.now() + timedelta(seconds=1)
    await site.meter.step()
    await site.until(ann, waiting.id, SessionState.RUNNING)


async def test_a_larger_budget_opens_at_once_and_prices_count_for_the_whole_month(site: World) -> None:
    ann, _ = await _begin(site, Budget(amount="150"))
    admin = await site.caller()
    await _pass(site, hours=1)
    await site.run(ann)
    await site.services.prices.put(admin, PriceTable(currency="KRW", slots={"cuda.device": "200"}))
    with pytest.raises(BudgetSpent):
        await site.run(ann)
    await site.services.budgets.put(admin, "default", "default", Budget(amount="250"))
    await site.run(ann)
    await site.services.budgets.put(admin, "default", "default", Budget(amount="0", stop="none"))
    await site.run(ann)  # only told
    await site.services.budgets.delete(admin, "default", "default")
    await _pass(site, hours=1)  # the loop goes on without it
    assert (await site.services.budgets.get(admin, "default", "default")).budget is None


async def test_the_stop_rule_ends_what_runs_and_says_why(site: World) -> None:
    ann, made = await _begin(site, Budget(amount="100", stop="stop-running", grace_seconds=7))
    await _pass(site, hours=1)
    ended = await site.until(ann, made, SessionState.STOPPED)
    assert ended.reason == "project default has spent its budget for this month"
    assert 7.0 in site.agent.held[next(iter(site.agent.held))].stops
    spent = (await site.services.budgets.get(await site.caller(), "default", "default")).spent
    await _pass(site, days=3)
    assert (await site.services.budgets.get(await site.caller(), "default", "default")).spent == spent == "100"


async def test_two_managers_tell_once(site: World) -> None:
    await _begin(site, Budget(amount="100"))
    other = World(site.url, site.settings.data_dir, [site.agent])
    await other.open()
    other.clock.ahead = site.clock.ahead = site.clock.ahead + timedelta(hours=2)
    await other.meter.step()
    await site.meter.step()
    await other.meter.step()
    assert len(await _told(site, "budget.reached")) == 1
    assert len(await _told(site, "closures.changed")) == 1
    await other.crash()


async def test_gpu_hours_of_a_policy_are_checked_when_asked_and_when_placed(site: World) -> None:
    admin, ann = await site.caller(), await site.caller("ann", "user")
    await site.services.policies.put(admin, "small", PolicyLimits(gpu_hours="2"))
    await site.services.policies.lay(admin, "small", "user", "ann")
    first = await site.run(ann, slots={**GPU, "cuda.device": "2"})
    await site.until(ann, first.id, SessionState.RUNNING)
    second = await site.run(ann, slots={**GPU, "cuda.device": "3"})
    await _pass(site, hours=1)
    with pytest.raises(LimitExceeded, match="2 GPU-hours a month"):
        await site.run(ann, slots=GPU)
    without = await site.run(ann)  # asks for none
    await site.until(ann, without.id, SessionState.RUNNING)
    await site.services.sessions.stop(ann, first.id, 0)

    async def says_so() -> bool:
        return "user ann has used the 2 GPU-hours" in (await site.services.sessions.get(ann, second.id)).reason

    await eventually(says_so)
    await site.services.policies.lay(admin, None, "user", "ann")
    await site.until(ann, second.id, SessionState.RUNNING)


async def test_owners_see_what_was_spent_and_only_administrators_set_it(site: World) -> None:
    ann, _ = await _begin(site, Budget(amount="100"))
    with pytest.raises(Forbidden):
        await site.services.budgets.get(ann, "default", "default")
    with pytest.raises(Forbidden):
        await site.services.budgets.put(ann, "default", "default", Budget(amount="1"))
    with pytest.raises(Forbidden):
        await site.services.prices.put(ann, PriceTable())
    with pytest.raises(InvalidInput, match="no amount"):
        await site.services.budgets.put(await site.caller(), "default", "default", Budget(amount="-5"))
    with pytest.raises(InvalidInput, match="no price"):
        await site.services.prices.put(await site.caller(), PriceTable(slots={"cpu": "much"}))


async def test_months_of_another_place_are_reckoned_anew(site: World) -> None:
    admin = await site.caller()
    _, made = await _begin(site, Budget(amount="100000"))
    await _pass(site, hours=3)
    await site.services.sessions.stop(admin, made, 0)
    await site.until(admin, made, SessionState.STOPPED)
    before = await site.services.budgets.get(admin, "default", "default")
    prices = (await site.services.prices.get(admin)).model_copy(update={"timezone": "Asia/Seoul"})
    await site.services.prices.put(admin, prices)
    after = await site.services.budgets.get(admin, "default", "default")
    assert after.spent == before.spent == "300"
    assert after.since == before.since - timedelta(hours=9)
