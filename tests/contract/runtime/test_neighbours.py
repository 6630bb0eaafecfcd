"""One session's excess harms no other: forks, memory, output and temporary files end at the session's own limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from madang.domain.session import ExitReason
from tests.contract.runtime.bench import Bench


@pytest.fixture
async def limited(walled: Bench) -> AsyncIterator[Bench]:
    if not await walled.limits_hold():
        pytest.skip("no writable control groups on this machine: limits are advisory")
    yield walled
    await walled.clear()  # nothing greedy goes on beside the tests that follow


async def neighbour_is_well(bench: Bench) -> None:
    """A new session starts, computes and ends, in seconds at the most."""
    begun = time.monotonic()
    result = await bench.run(bench.python("print(sum(range(1000)))", cpu=500))
    assert result.stdout == "499500\n"
    assert time.monotonic() - begun < 10


async def test_a_fork_bomb_stays_at_home(limited: Bench) -> None:
    bomb = limited.shell("echo up; b() { b | b & b; }; b 2>/dev/null; sleep 60", processes=64)
    await limited.start(bomb)
    await limited.says(bomb, "up")
    await neighbour_is_well(limited)
    usage = await limited.agent.usage(bomb.container_id)
    assert usage is None or usage.processes <= 64
    await limited.agent.stop(bomb.container_id, 1, 0)
    await limited.ended(bomb)
    await limited.agent.remove(bomb.container_id, 1)
    await neighbour_is_well(limited)


async def test_a_memory_hog_ends_alone(limited: Bench) -> None:
    quiet = limited.python(
        "b = bytearray(32 << 20); print('up', flush=True); import time; time.sleep(60)", mem=64 << 20
    )
    await limited.start(quiet)
    await limited.says(quiet, "up")
    hog = await limited.run(limited.python("b = [bytearray(8 << 20) for _ in range(1000)]", mem=128 << 20))
    assert hog.exit.reason is ExitReason.OOM
    assert (await limited.status(quiet)).exit is None
    await neighbour_is_well(limited)


async def test_a_flood_of_output_is_kept_to_its_cap(limited: Bench) -> None:
    flood = limited.shell("head -c 1073741824 /dev/zero | tr '\\0' x; echo; echo done >&2", log_bytes=4 << 20, cpu=1000)
    await limited.start(flood)
    await neighbour_is_well(limited)
    assert (await limited.ended(flood, patience=180)).reason is ExitReason.EXITED
    log = limited.data_dir / "agent" / "containers" / flood.container_id / "log"
    assert sum(file.stat().st_size for file in log.iterdir()) < 8 << 20
    page = await limited.agent.read_log(flood.container_id, -100)
    assert page.chunks[-1].data == b"done\n"


async def test_a_filled_tmp_is_the_sessions_own(limited: Bench) -> None:
    filler = limited.shell("head -c 400m /dev/zero > /tmp/fill; echo status $?; sleep 60", mem=128 << 20)
    await limited.start(filler)
    said = await limited.says(filler, "status")
    assert "status 1" in said
    spec = limited.shell("df -k /tmp | tail -1; echo fine > /tmp/x && cat /tmp/x")
    assert (await limited.run(spec)).stdout.endswith("fine\n")


async def test_cpu_time_is_shared_by_limits(limited: Bench) -> None:
    spec = limited.shell("while :; do :; done", cpu=200)
    await limited.start(spec)
    before = await limited.agent.usage(spec.container_id)
    begun = time.monotonic()
    await asyncio.sleep(2)
    after = await limited.agent.usage(spec.container_id)
    spent = time.monotonic() - begun
    assert before is not None
    assert after is not None
    assert (after.cpu_seconds - before.cpu_seconds) / spent < 0.3
