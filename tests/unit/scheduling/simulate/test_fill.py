"""Filling a cluster: the openb protocol on clusters that can be reckoned by hand, and on the real one."""

from __future__ import annotations

import pytest

from madang.domain.devices import Share
from madang.domain.errors import InvalidInput
from madang.scheduling.simulate.fill import fill
from madang.scheduling.simulate.fragmentation import Fragmentation
from madang.scheduling.simulate.metrics import average, measure_fill
from madang.scheduling.snapshot import Part, Running, Snapshot
from tests.unit.scheduling.simulate.traces import openb, trace


def test_jobs_come_until_enough_is_asked_for_and_come_again_when_all_have() -> None:
    # Four GPUs; every job wants one, and there are three of them.
    filling = fill(trace(*(f"j{at},0,0,1,1000,,0,1" for at in range(3))), "pack", 1.5)
    assert (filling.jobs, filling.failed) == (6, 2)
    assert (filling.marks[100].allocated, filling.marks[150].allocated) == (1, 1)
    assert filling.curve[-1].arrived == 1.5


def test_who_finds_no_room_has_failed() -> None:
    # 0.6 of a GPU each: two never share one, so four fit, and the fifth and sixth of 100% fail.
    filling = fill(trace("j,0,0,1,600,,0,1"), "pack", 1.0)
    assert (filling.jobs, filling.failed) == (7, 3)
    assert filling.marks[100].allocated == 0.6
    assert filling.marks[100].fragmentation == 1  # what is free is of no use to anybody


def test_times_and_waits_do_not_matter() -> None:
    jobs = trace("a,0,0,1,1000,,900,,,999", "b,0,0,1,1000,,5,,a,", columns="after,start_at")
    assert fill(jobs, "pack", 1.0).marks[100].allocated == 1


def test_it_may_end_early() -> None:
    found = measure_fill(fill(trace("j,0,0,1,1000,,0,1"), "pack", 0.5))
    assert (found.until, found.allocation_at_100, found.allocation_at_until) == (0.5, None, 0.5)


def test_the_same_seed_gives_the_same() -> None:
    jobs = trace(*(f"j{at},{at * 700 % 3000},0,1,{200 + 100 * (at % 8)},,0,1" for at in range(9)))
    assert fill(jobs, "fgd", 1.3, 5) == fill(jobs, "fgd", 1.3, 5)
    several = [measure_fill(fill(jobs, "fgd", 1.3, seed)) for seed in range(4)]
    mean = average(several).allocation_at_100
    assert mean == pytest.approx(sum(one.allocation_at_100 or 0 for one in several) / 4)


def test_without_gpus_there_is_nothing_to_fill() -> None:
    with pytest.raises(InvalidInput, match="None of the jobs asks for a GPU"):
        fill(trace("j,1,1,0,0,,0,1"), "pack", 1.3)
    with pytest.raises(InvalidInput, match="None of the nodes has a GPU"):
        fill(trace("j,1,1,1,1000,,0,1", nodes="sn,cpu_milli,memory_mib\nn,1000,1\n"), "pack", 1.3)


def test_fragmentation_is_what_the_jobs_of_the_trace_cannot_use() -> None:
    given = trace("a,1000,0,1,500,,0,1", "b,1000,0,1,1000,A100,0,1", "c,1000,0,0,0,,0,1", "d,1000,0,2,1000,,0,1")
    empty = Snapshot.of(given.nodes, ())
    measure = Fragmentation(given.jobs, empty)
    # a and d can use everything, b only the A100s, c nothing.
    assert measure.rate(empty) == pytest.approx((0 + 2000 + 4000 + 0) / 4 / 4000)
    part = Part("n1", {}, "cuda", (Share(0, 700),))
    busy = Snapshot.of(given.nodes, (), [Running("x", (part,))])
    # Free: 300 and 1000 on n1, 1000 and 1000 on n2. a cannot use the 300; b has 1000 of 3300; d has n2 only.
    assert measure.rate(busy) == pytest.approx((300 + 2300 + 3300 + 1300) / 4 / 3300)
    full = Part("n1", {"cpu": 8000})
    no_cpu = Snapshot.of(given.nodes, (), [Running("x", (full,))])
    assert measure.rate(no_cpu) == pytest.approx((2000 + 4000 + 4000 + 2000) / 4 / 4000)


def test_the_real_cluster_fills_to_the_first_tenth_without_a_refusal() -> None:
    filling = fill(openb(), "pack", 0.1)
    assert filling.failed == 0
    assert filling.marks[10].allocated == pytest.approx(0.1, abs=0.002)
