"""Whoever waits for a change learns of it, however many wait."""

from __future__ import annotations

import asyncio

from madang.agent.bell import Bell


async def test_a_ring_between_looking_and_waiting_is_not_lost() -> None:
    bell = Bell()
    seen = bell.rung
    bell.ring()
    await asyncio.wait_for(bell.wait(seen), 1)


async def test_everybody_who_waits_is_woken_by_one_ring() -> None:
    bell = Bell()
    waiting = [asyncio.create_task(bell.wait(bell.rung)) for _ in range(3)]
    await asyncio.sleep(0)
    bell.ring()
    await asyncio.wait_for(asyncio.gather(*waiting), 1)
    assert bell.rung == 1
