"""A hundred sessions asked for at the same moment."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence

from benchmarks.base import Bench, Result
from madang.domain.errors import MadangError
from madang.sdk import AsyncClient

NAMES = ("burst-100-s",)
SESSIONS = 100
CLIENTS = 10
ROUNDS = 3


def measure(bench: Bench) -> Sequence[Result]:
    """The median over some rounds of the time until all are accepted; every refused one counts as an error."""
    rounds = [asyncio.run(_round(bench)) for _ in range(ROUNDS)]
    accepted = statistics.median(seconds for seconds, _, _ in rounds)
    ended = statistics.median(seconds for _, seconds, _ in rounds)
    errors = [error for _, _, errors in rounds for error in errors]
    note = f"{len(errors)} errors; all had run after {ended:.1f} s" + (f"; first error: {errors[0]}" if errors else "")
    return [Result("burst-100-s", accepted, None, note, len(errors))]


async def _round(bench: Bench) -> tuple[float, float, list[str]]:
    clients = [AsyncClient(url=bench.platform.url, token=bench.platform.token) for _ in range(CLIENTS)]
    errors: list[str] = []
    try:
        await asyncio.gather(*(client.me() for client in clients))  # connections stand before the clock runs

        async def ask(number: int) -> str | None:
            try:
                session = await clients[number % CLIENTS].sessions.create(
                    command=["true"], environment="python", slots={"cpu": "0.01", "mem": "16m"}
                )
            except (MadangError, OSError) as error:
                errors.append(str(error))
                return None
            return session.id

        began = time.perf_counter()
        sessions = await asyncio.gather(*(ask(number) for number in range(SESSIONS)))
        accepted = time.perf_counter() - began
        for session in filter(None, sessions):
            await clients[0].sessions.wait(session)
        ended = time.perf_counter() - began
        for session in filter(None, sessions):
            await clients[0].sessions.delete(session)
    finally:
        await asyncio.gather(*(client.close() for client in clients))
    return accepted, ended, errors
