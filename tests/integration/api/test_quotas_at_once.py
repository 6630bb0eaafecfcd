"""Limits hold however many ask at once, over HTTP and on the real database."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx

from madang.api.app import create_app
from madang.schemas.api import PolicyLimits
from tests.world import World, eventually

_ROUNDS: Final = 20


@asynccontextmanager
async def _http(world: World, name: str) -> AsyncIterator[httpx.AsyncClient]:
    token = await world.services.tokens.issue(name, "user", "test")
    transport = httpx.ASGITransport(create_app(world.services))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers, timeout=60) as http:
        yield http


async def _limit(world: World, name: str, **limits: object) -> None:
    admin = await world.caller()
    await world.services.policies.put(admin, "student", PolicyLimits.model_validate(limits))
    await world.services.policies.lay(admin, "student", "user", name)


async def _create(http: httpx.AsyncClient, number: int) -> httpx.Response:
    slots = {"cpu": "0.1", "mem": "16m"}
    return await http.post("/api/v1/sessions", json={"name": f"job-{number}", "command": ["sleep"], "slots": slots})


async def test_two_hundred_creations_against_fifty_leave_fifty_twenty_times_in_a_row(idle_world: World) -> None:
    for number in range(_ROUNDS):
        name = f"user{number}"
        async with _http(idle_world, name) as http:
            await _limit(idle_world, name, sessions=50)
            answers = await asyncio.gather(*(_create(http, one) for one in range(200)))
            assert Counter(one.status_code for one in answers) == {201: 50, 403: 150}
            assert {one.json()["code"] for one in answers if one.status_code == 403} == {"limit_exceeded"}
            listed = (await http.get("/api/v1/sessions", params={"limit": 100})).json()["items"]
            assert {one["id"] for one in listed} == {one.json()["id"] for one in answers if one.status_code == 201}


async def test_of_a_hundred_at_once_only_so_many_hold_slots_as_the_limit_allows(world: World) -> None:
    async with _http(world, "ann") as http:
        await _limit(world, "ann", slots={"cpu": "1"})
        answers = await asyncio.gather(*(_create(http, one) for one in range(100)))
        assert {one.status_code for one in answers} == {201}
        most = 0

        async def states() -> Counter[str]:
            nonlocal most
            most = max(most, (await world.used()).get("node1", {}).get("cpu", 0))
            found = (await http.get("/api/v1/sessions", params={"limit": 200})).json()["items"]
            return Counter(one["state"] for one in found)

        async def ten_run() -> bool:
            found = await states()
            return found["running"] == 10 and found["pending"] == 100 - 10 - found["stopped"]

        await eventually(ten_run, 20)
        running = [
            one["id"]
            for one in (await http.get("/api/v1/sessions", params={"limit": 200})).json()["items"]
            if one["state"] == "running"
        ]
        await asyncio.gather(
            *(http.post(f"/api/v1/sessions/{one}/stop", json={"grace_seconds": 0}) for one in running[:5])
        )

        async def next_ones_run() -> bool:
            return await ten_run() and (await states())["stopped"] == 5

        await eventually(next_ones_run, 20)
        assert most == 1000
