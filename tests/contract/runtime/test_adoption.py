"""Containers outlive the agent: another one finds them running or rightly ended, with all of their output."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from madang.domain.session import ExitReason
from madang.schemas.agent import Phase
from tests.conftest import open_directory
from tests.contract.runtime.bench import Bench, pieces
from tests.contract.runtime.conftest import RUNTIMES, open_agent


@pytest.fixture(params=RUNTIMES)
async def lone(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """An agent of one's own, to be replaced."""
    data_dir = open_directory()
    bench = Bench(await open_agent(data_dir, request.param), data_dir, request.param)
    yield bench
    await bench.clear()
    await bench.agent.close()
    shutil.rmtree(data_dir, ignore_errors=True)


async def replace_agent(bench: Bench) -> None:
    await bench.agent.close()
    bench.agent = await open_agent(bench.data_dir, bench.runtime)


async def test_a_running_container_is_adopted_and_its_output_has_no_gap(lone: Bench) -> None:
    spec = lone.shell("i=0; while [ ! -e stop ]; do echo line $i; i=$((i+1)); sleep 0.02; done; exit 9", cpu=1000)
    await lone.start(spec)
    await lone.says(spec, "line 3\n")
    await replace_agent(lone)
    assert (await lone.status(spec)).phase is Phase.RUNNING
    assert await lone.agent.usage(spec.container_id) is not None
    result = await lone.exec(spec, "echo", "beside")
    assert result.stdout == "beside\n"
    await lone.agent.write_file(spec.container_id, "stop", pieces())
    stdout, _ = await lone.output(spec)
    assert stdout == "".join(f"line {i}\n" for i in range(stdout.count("\n")))
    end = await lone.ended(spec)
    assert (end.reason, end.code) == (ExitReason.EXITED, 9)


async def test_an_end_in_the_agents_absence_is_known(lone: Bench) -> None:
    spec = lone.shell("echo begin; sleep 0.3; echo end; exit 5")
    await lone.start(spec)
    await lone.says(spec, "begin")
    await lone.agent.close()
    exit_file = lone.data_dir / "agent" / "containers" / spec.container_id / "exit.json"
    await _until_exists(exit_file)
    lone.agent = await open_agent(lone.data_dir, lone.runtime)
    assert (await lone.ended(spec)).code == 5
    assert await lone.output(spec) == ("begin\nend\n", "")


async def _until_exists(path: Path) -> None:
    async with asyncio.timeout(20):
        while not path.exists():  # noqa: ASYNC110, ASYNC240 - another process makes it
            await asyncio.sleep(0.02)


async def test_a_stop_goes_on_in_the_agents_absence(lone: Bench) -> None:
    spec = lone.shell("trap '' TERM; echo up; while :; do sleep 0.05; done")
    await lone.start(spec)
    await lone.says(spec, "up")
    await lone.agent.stop(spec.container_id, 1, 0.5)
    await replace_agent(lone)
    assert (await lone.ended(spec)).reason is ExitReason.STOPPED


async def test_a_killed_keeper_leaves_nothing_running_and_nothing_unsaid(lone: Bench) -> None:
    spec = lone.shell("echo up; while :; do date > alive; sleep 0.05; done")
    await lone.start(spec)
    await lone.says(spec, "up")
    pid = lone.agent.keeper_pid
    os.kill(pid, signal.SIGKILL)
    end = await lone.ended(spec)
    assert end.reason is ExitReason.LOST
    assert lone.agent.keeper_pid != pid
    assert (await lone.run(lone.shell("echo again"))).stdout == "again\n"


async def test_a_created_container_can_still_be_started(lone: Bench) -> None:
    spec = lone.shell("echo once")
    await lone.agent.create(spec)
    await replace_agent(lone)
    assert (await lone.run(spec)).stdout == "once\n"
    await replace_agent(lone)
    await lone.agent.start(spec.container_id, 1)
    assert (await lone.output(spec)) == ("once\n", "")
