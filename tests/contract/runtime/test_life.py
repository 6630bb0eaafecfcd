"""What every runtime promises about a container: starting, stopping, output, and ends that are told apart."""

from __future__ import annotations

import asyncio
import signal

import pytest

from madang.domain.errors import Conflict, NotFound, StaleEpoch
from madang.domain.session import ExitReason
from madang.schemas.agent import ExecSpec, Phase
from tests.contract.runtime.bench import PATIENCE, Bench, pieces


async def test_output_and_exit_code_arrive(bench: Bench) -> None:
    result = await bench.run(bench.shell("echo out; echo err >&2; exit 3"))
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    assert result.exit.reason is ExitReason.EXITED
    assert result.exit.code == 3


@pytest.mark.parametrize(
    ("script", "reason", "code", "number"),
    [
        ("exit 0", ExitReason.EXITED, 0, None),
        ("exit 137", ExitReason.EXITED, 137, None),
        ("kill -9 $$", ExitReason.SIGNAL, None, signal.SIGKILL),
        ("kill -TERM $$", ExitReason.SIGNAL, None, signal.SIGTERM),
        ("kill -SEGV $$", ExitReason.SIGNAL, None, signal.SIGSEGV),
    ],
)
async def test_exit_codes_and_signals_are_told_apart(
    bench: Bench, script: str, reason: ExitReason, code: int | None, number: int | None
) -> None:
    end = (await bench.run(bench.shell(script))).exit
    assert (end.reason, end.code, end.signal) == (reason, code, number)


async def test_running_out_of_memory_is_named(bench: Bench) -> None:
    if not await bench.limits_hold():
        pytest.skip("no writable control groups on this machine: limits are advisory")
    result = await bench.run(bench.python("b = bytearray(2 << 30)", mem=128 << 20))
    assert result.exit.reason is ExitReason.OOM
    assert "memory" in result.exit.message


async def test_a_missing_command_says_so(bench: Bench) -> None:
    end = (await bench.run(bench.spec("no-such-program"))).exit
    assert end.reason is ExitReason.LAUNCH
    assert "no-such-program" in end.message


async def test_the_environment_of_the_process(bench: Bench) -> None:
    spec = bench.python(
        "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['GREETING'], len(os.sched_getaffinity(0)))",
        cpu=1000,
        variables={"GREETING": "안녕"},
    )
    result = await bench.run(spec)
    assert result.stdout == "1 안녕 1\n"


async def test_nproc_follows_the_cpu_limit(bench: Bench) -> None:
    assert (await bench.run(bench.spec("nproc", cpu=700))).stdout == "1\n"


async def test_orphans_end_with_the_main_process(bench: Bench) -> None:
    spec = bench.shell("setsid sh -c 'while :; do date > alive; sleep 0.05; done' & sleep 0.3")
    await bench.run(spec)
    alive = bench.data_dir / "agent" / "containers" / spec.container_id / "work" / "alive"
    before = alive.stat().st_mtime_ns
    await asyncio.sleep(0.3)  # long enough for several rounds of the loop, were it alive
    assert alive.stat().st_mtime_ns == before


async def test_stop_asks_first_and_takes_a_clean_exit(bench: Bench) -> None:
    spec = bench.shell("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done")
    await bench.start(spec)
    await bench.says(spec, "up")
    await bench.agent.stop(spec.container_id, 1, grace_seconds=PATIENCE)
    end = await bench.ended(spec)
    assert (end.reason, end.code) == (ExitReason.STOPPED, 7)
    assert (await bench.output(spec))[0].endswith("bye\n")


async def test_stop_kills_what_does_not_listen(bench: Bench) -> None:
    spec = bench.shell("trap '' TERM; echo up; while :; do sleep 0.05; done")
    await bench.start(spec)
    await bench.says(spec, "up")
    await bench.agent.stop(spec.container_id, 1, grace_seconds=0.2)
    end = await bench.ended(spec)
    assert (end.reason, end.signal) == (ExitReason.STOPPED, signal.SIGKILL)


async def test_stop_before_start_ends_it(bench: Bench) -> None:
    spec = bench.shell("echo never")
    await bench.agent.create(spec)
    await bench.agent.stop(spec.container_id, 1, grace_seconds=1)
    assert (await bench.agent.start(spec.container_id, 1)).phase is Phase.ENDED
    assert await bench.output(spec) == ("", "")


async def test_a_launch_happens_once(bench: Bench) -> None:
    spec = bench.shell("echo started >> count; cat count; sleep 0.2")
    await bench.agent.create(spec)
    await asyncio.gather(*(bench.agent.start(spec.container_id, 1) for _ in range(5)))
    assert await bench.output(spec) == ("started\n", "")
    assert (await bench.agent.start(spec.container_id, 1)).phase is Phase.ENDED
    assert (await bench.agent.create(spec)).phase is Phase.ENDED


async def test_a_later_launch_replaces_an_earlier_one(bench: Bench) -> None:
    first = bench.shell("echo one; sleep 60")
    await bench.start(first)
    await bench.says(first, "one")
    second = bench.shell("echo two; ls", container_id=first.container_id, epoch=2)
    assert (await bench.run(second)).stdout == "two\n"
    with pytest.raises(StaleEpoch):
        await bench.agent.create(first)
    with pytest.raises(StaleEpoch):
        await bench.agent.stop(first.container_id, 1, 0)


async def test_a_removed_container_is_gone_and_stays_gone(bench: Bench) -> None:
    spec = bench.shell("sleep 60")
    await bench.start(spec)
    await bench.agent.remove(spec.container_id, 1)
    await bench.agent.remove(spec.container_id, 1)
    assert not (bench.data_dir / "agent" / "containers" / spec.container_id).exists()
    with pytest.raises(StaleEpoch):
        await bench.agent.create(spec)
    with pytest.raises(NotFound):
        await bench.agent.read_log(spec.container_id)


async def test_many_short_ones_at_once_each_end_as_they_should(bench: Bench) -> None:
    keeper = bench.agent.keeper_pid
    specs = [bench.shell(f"echo {number}; exit {number}", cpu=100, mem=32 << 20) for number in range(60)]
    results = await asyncio.gather(*(bench.run(spec) for spec in specs))
    assert [(result.stdout, result.exit.code) for result in results] == [
        (f"{number}\n", number) for number in range(60)
    ]
    assert bench.agent.keeper_pid == keeper


async def test_exec_runs_beside_the_main_process(bench: Bench) -> None:
    spec = bench.shell("echo mark > file; echo up; sleep 60")
    await bench.start(spec)
    await bench.says(spec, "up")
    result = await bench.exec(spec, "sh", "-c", "cat file; echo err >&2; exit 4")
    assert (result.stdout, result.stderr, result.exit.code) == ("mark\n", "err\n", 4)
    killed = await bench.exec(spec, "sh", "-c", "kill -9 $$")
    assert killed.exit.signal == signal.SIGKILL
    missing = await bench.exec(spec, "no-such-program")
    assert missing.exit.reason is ExitReason.LAUNCH
    await bench.agent.stop(spec.container_id, 1, 0)
    await bench.ended(spec)
    with pytest.raises(Conflict):
        await bench.agent.exec(spec.container_id, ExecSpec(command=["true"]))


async def test_exec_feeds_standard_input(bench: Bench) -> None:
    spec = bench.shell("sleep 60")
    await bench.start(spec)
    process = await bench.agent.exec(spec.container_id, ExecSpec(command=["cat"]))
    big = b"x" * 1_000_000

    async def feed() -> None:
        await process.write(big)
        await process.close_stdin()

    feeding = asyncio.create_task(feed())
    received = b"".join([data async for _, data in process.output()])
    await feeding
    assert received == big
    assert (await process.wait()).code == 0
    await process.close()


async def test_exec_with_a_terminal(bench: Bench) -> None:
    spec = bench.shell("sleep 60")
    await bench.start(spec)
    shell = ExecSpec(command=["/bin/sh"], terminal=True, rows=33, columns=101)
    process = await bench.agent.exec(spec.container_id, shell)
    await process.write(b"stty size; tty >/dev/null && echo is-a-tty; exit 5\n")
    shown = b"".join([data async for _, data in process.output()]).decode()
    assert "33 101" in shown
    assert "is-a-tty" in shown.replace("echo is-a-tty", "")
    assert (await process.wait()).code == 5
    await process.close()


async def test_usage_is_measured(bench: Bench) -> None:
    spec = bench.python("b = bytearray(64 << 20); print('up', flush=True); import time; time.sleep(60)")
    await bench.start(spec)
    await bench.says(spec, "up")
    usage = await bench.agent.usage(spec.container_id)
    assert usage is not None
    assert usage.mem_bytes > 64 << 20
    assert usage.processes >= 1
    assert usage.cpu_seconds > 0


async def test_files_go_in_and_out(bench: Bench) -> None:
    spec = bench.shell("cat in/data; echo result > out; ls -l in/data")
    await bench.agent.create(spec)
    await bench.agent.write_file(spec.container_id, "in/data", pieces(b"hel", b"lo\n"))
    await bench.agent.start(spec.container_id, 1)
    assert (await bench.output(spec))[0].startswith("hello\n")
    assert b"".join([piece async for piece in await bench.agent.read_file(spec.container_id, "out")]) == b"result\n"
    assert [entry.path for entry in await bench.agent.list_files(spec.container_id)] == ["in", "out"]
    with pytest.raises(Conflict):
        await bench.agent.write_file(spec.container_id, "late", pieces(b"x"))


async def test_the_log_keeps_the_newest_output(bench: Bench) -> None:
    spec = bench.shell(
        "i=0; while [ $i -lt 3000 ]; do echo line-$i-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done",
        log_bytes=1 << 16,
        cpu=1000,
    )
    await bench.start(spec)
    await bench.ended(spec)
    page = await bench.agent.read_log(spec.container_id, 0)
    assert page.chunks[0].skipped > 0
    text = b"".join(chunk.data for chunk in page.chunks).decode()
    assert text.endswith("line-2999-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n")
    log = bench.data_dir / "agent" / "containers" / spec.container_id / "log"
    assert sum(file.stat().st_size for file in log.iterdir()) <= (1 << 16) + (1 << 16)
