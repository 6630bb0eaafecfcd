"""Usage and costs, asked over HTTP, are those reckoned by hand: to the second, over a month's end and a crash."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from madang.api.app import create_app
from madang.domain.session import ExitReason, SessionState
from madang.schemas.api import UsageReport
from tests.fakes import FakeAgent
from tests.world import ShiftedClock, World, eventually

BEGAN = datetime(2026, 11, 30, 22, 0, 0, tzinfo=UTC)  # two hours before the month ends


class StillClock(ShiftedClock):
    """Stands still until it is moved."""

    def now(self) -> datetime:
        return BEGAN + self.ahead


class Script(World):
    """What people do, at moments counted in seconds from the beginning."""

    async def open(self) -> None:
        await super().open()
        self.app = create_app(self.services)

    async def ask(self, who: str, method: str, path: str, body: object = None) -> Any:
        token = await self.services.tokens.issue(who, "admin" if who == "admin" else "user", "script")
        transport = httpx.ASGITransport(self.app)
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as http:
            answer = await http.request(method, f"/api/v1/{path}", json=body)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def at(self, seconds: int) -> None:
        self.clock.ahead = timedelta(seconds=seconds)

    async def start_session(self, who: str, name: str, **fields: object) -> str:
        made = await self.ask(who, "POST", "sessions", {"name": name, "command": ["sleep"], **fields})
        return str(made["id"])

    async def is_now(self, who: str, ref: str, state: SessionState) -> None:
        async def reached() -> bool:
            return bool((await self.ask(who, "GET", f"sessions/{ref}"))["state"] == state)

        await eventually(reached)

    async def stop_session(self, who: str, ref: str) -> None:
        await self.ask(who, "POST", f"sessions/{ref}/stop", {"grace_seconds": 0})
        await self.is_now(who, ref, SessionState.STOPPED)

    async def report(self, by: str, month: str) -> UsageReport:
        return UsageReport.model_validate(await self.ask("admin", "GET", f"usage?by={by}&month={month}"))


@pytest.fixture
async def script(database_url: str, tmp_path: Path) -> AsyncIterator[Script]:
    agent = FakeAgent("node1", {"cpu": 8000, "mem": 32 << 30}, gpus=["A100"] * 4)
    made = Script(database_url, tmp_path, [agent])
    made.clock = StillClock()
    agent.now = made.clock.now
    await made.start()
    yield made
    await made.crash()


async def test_a_known_script_of_sessions_uses_exactly_what_was_reckoned_by_hand(script: Script) -> None:
    run, admin = SessionState.RUNNING, "admin"
    await script.ask(admin, "PUT", "resource-groups/default", {"preemption": True, "preemption_grace_seconds": 0})
    prices = {"currency": "KRW", "digits": 0, "slots": {"cpu": "10", "mem": "2"}, "models": {"A100": "3600"}}
    await script.ask(admin, "PUT", "prices", prices)
    half = await script.start_session("ann", "half", slots={"cpu": "1", "mem": "1g", "cuda.shares": "0.5"})
    await script.is_now("ann", half, run)
    script.at(600)
    pair = await script.start_session("bob", "pair", size=2, slots={"cpu": "2", "mem": "1g", "cuda.device": "1"})
    await script.is_now("bob", pair, run)
    batch = await script.start_session("carl", "batch", preemptible=True, slots={"cpu": "3", "mem": "2g"})
    await script.is_now("carl", batch, run)
    script.at(1201)
    urgent = await script.start_session("ann", "urgent", kind="interactive", slots={"cpu": "2", "mem": "1g"})
    await script.is_now("ann", urgent, run)
    await script.is_now("carl", batch, SessionState.PENDING)  # it gave way
    script.at(1500)
    await script.crash()
    script.at(1633)
    script.agent.finish(await script.container_of(urgent))  # nobody is there to see it
    script.at(1800)
    await script.start()
    await script.is_now("ann", urgent, SessionState.SUCCEEDED)
    await script.is_now("carl", batch, run)  # launched anew, at 1800
    script.at(5407)
    await script.stop_session("ann", half)
    script.at(7200 + 900)
    await script.stop_session("carl", batch)
    await script.ask("carl", "DELETE", f"sessions/{batch}")
    script.at(7200 + 3661)  # the pair runs still

    first, second = await script.report("session", "2026-11"), await script.report("session", "2026-12")
    found = {
        (month, row.name.split()[0]): {slot: amount for slot, amount in row.slot_seconds.items() if slot != "mem"}
        for month, report in ((11, first), (12, second))
        for row in report.rows
    }
    assert found == {
        (11, "half"): {"cpu": 1000 * 5407, "cuda.shares": 500 * 5407},
        (11, "pair"): {"cpu": 4000 * 6600, "cuda.shares": 2000 * 6600},
        (11, "batch"): {"cpu": 3000 * (601 + 5400)},
        (11, "urgent"): {"cpu": 2000 * 432},
        (12, "pair"): {"cpu": 4000 * 3661, "cuda.shares": 2000 * 3661},
        (12, "batch"): {"cpu": 3000 * 900},
    }
    mem = {row.name.split()[0]: row.slot_seconds["mem"] / (1 << 30) for row in first.rows}
    assert mem == {"half": 5407, "pair": 2 * 6600, "batch": 2 * 6001, "urgent": 432}
    cores = 5407 + 4 * 6600 + 3 * 6001 + 2 * 432
    gib = 5407 + 2 * 6600 + 2 * 6001 + 432
    by_hand = (cores * 10 + gib * 2 + (5407 // 2 + 0.5 + 2 * 6600) * 3600) / 3600
    for by in ("user", "project", "domain"):
        assert (await script.report(by, "2026-11")).cost == first.cost == f"{by_hand:.0f}"
    spending = await script.ask(admin, "GET", "domains/default/projects/default/budget")
    assert spending["spent"] == second.cost  # what is added up as it is written is the same
    users = {row.name: row.gpu_hours * 3600 for row in (await script.report("user", "2026-12")).rows}
    assert users == {"bob": pytest.approx(2 * 3661, abs=1e-6), "carl": 0}


async def test_who_gives_way_while_no_manager_runs_pays_until_it_has_ended(script: Script) -> None:
    run = SessionState.RUNNING
    await script.ask("admin", "PUT", "resource-groups/default", {"preemption": True, "preemption_grace_seconds": 60})
    script.agent.stubborn = True
    batch = await script.start_session("carl", "batch", preemptible=True, slots={"cpu": "8", "mem": "1g"})
    await script.is_now("carl", batch, run)
    container = await script.container_of(batch)
    script.at(100)
    urgent = await script.start_session("ann", "urgent", kind="interactive", slots={"cpu": "1", "mem": "1g"})
    await script.is_now("carl", batch, SessionState.TERMINATING)

    async def asked() -> bool:
        return bool(script.agent.held[container].stops)

    await eventually(asked)
    await script.crash()
    script.at(142)
    script.agent.finish(container, reason=ExitReason.STOPPED)
    script.at(1000)
    await script.start()
    await script.is_now("ann", urgent, run)
    rows = {row.name.split()[0]: row.slot_seconds for row in (await script.report("session", "2026-11")).rows}
    assert rows == {"batch": {"cpu": 8000 * 142, "mem": 142 * (1 << 30)}}
