"""What a replay promises: nothing starts early, nothing is given twice, and the same seed gives the same."""

from __future__ import annotations

import random
from dataclasses import asdict

import pytest

from madang.domain.errors import InvalidInput
from madang.domain.session import SessionKind
from madang.scheduling.policy import Policy, Window
from madang.scheduling.simulate.metrics import jain, measure, moments
from madang.scheduling.simulate.outcome import Fate, Outcome, Record
from madang.scheduling.simulate.replay import replay
from madang.scheduling.simulate.trace import Trace
from tests.unit.scheduling.simulate.traces import one_gpu, openb, trace


def by_name(outcome: Outcome, given: Trace) -> dict[str, Record]:
    """Records by the names of jobs, which arrive at different times."""
    names = {job.request.arrived: job.request.id for job in given.jobs}
    assert len(names) == len(given.jobs)
    return {names[record.job.request.arrived]: record for record in outcome.records}


def starts(outcome: Outcome, given: Trace) -> dict[str, float]:
    return {name: record.first_start for name, record in by_name(outcome, given).items()}


def test_waits_and_makespan_are_those_reckoned_by_hand() -> None:
    # One GPU: a from 10 to 110, b waits from 20 and runs to 160, c waits from 30 and runs to 170.
    given = one_gpu("a,10,110", "b,20,70", "c,30,40")
    outcome = replay(given, Policy(queue="fifo"))
    assert starts(outcome, given) == {"a": 10, "b": 110, "c": 160}
    found = measure(outcome)
    assert (found.wait_mean, found.wait_p50, found.wait_p95, found.wait_max) == ((0 + 90 + 130) / 3, 90, 130, 130)
    assert (found.jct_mean, found.jct_max) == ((100 + 140 + 140) / 3, 140)
    assert found.slowdown_mean == (1 + 140 / 50 + 140 / 10) / 3
    assert (found.makespan, found.utilisation, found.allocation) == (160, 1, 1)
    assert (found.queue_max, found.queue_mean) == (2, (10 * 1 + 80 * 2 + 50 * 1) / 160)
    assert (found.jobs, found.done, found.fairness) == (3, 3, None)
    assert [(one.time, one.allocation, one.waiting) for one in moments(outcome)][:3] == [
        (10, 1, 0),
        (20, 1, 1),
        (30, 1, 2),
    ]


def test_the_queue_policy_decides() -> None:
    given = one_gpu("a,10,110", "b,20,70", "c,30,40")
    assert starts(replay(given, Policy(queue="lifo")), given) == {"a": 10, "c": 110, "b": 120}


def test_a_short_job_fills_the_gap_only_where_that_delays_nobody() -> None:
    lines = [
        "a,1000,1,1,1000,,0,100,100",
        "b,1000,1,2,1000,,1,101,100",
        "c,1000,1,1,1000,,2,52,50",
        "d,1000,1,1,1000,,3,203,200",
    ]
    nodes = "sn,cpu_milli,memory_mib,gpu,model\nn,8000,8192,2,A100\n"
    given = trace(*lines, columns="max_seconds", nodes=nodes)
    assert starts(replay(given, Policy(queue="fifo")), given) == {"a": 0, "c": 2, "b": 100, "d": 200}
    strict = starts(replay(given, Policy(queue="fifo", backfill=False)), given)
    assert strict == {"a": 0, "b": 100, "c": 200, "d": 200}


def test_what_is_known_of_run_times_lets_short_jobs_pass() -> None:
    lines = ["a,1000,1,1,1000,,0,100", "b,1000,1,2,1000,,1,101", "c,1000,1,1,1000,,2,52"]
    given = trace(*lines, nodes="sn,cpu_milli,memory_mib,gpu,model\nn,8000,8192,2,A100\n")
    assert starts(replay(given, Policy(queue="fifo")), given)["c"] == 200
    assert starts(replay(given.estimated(), Policy(queue="fifo")), given)["c"] == 2


def test_jobs_wait_for_their_time_and_for_each_other() -> None:
    given = one_gpu(
        "a,0,10,,,50",
        "b,1,11,a,,",
        "c,2,12,,b,",
        columns="after,after_ok,start_at",
    )
    outcome = replay(given, Policy(queue="fifo"))
    assert starts(outcome, given) == {"a": 50, "b": 60, "c": 70}
    assert measure(outcome).wait_max == 0  # none of them could have started before


def test_what_follows_a_failure_does_not_run() -> None:
    given = one_gpu("a,0,10,,,Failed", "b,1,11,,a,", "c,2,12,,b,", "d,3,13,b,,", columns="after,after_ok,pod_phase")
    fates = {name: record.fate for name, record in by_name(replay(given), given).items()}
    assert fates == {"a": Fate.DONE, "b": Fate.EXPIRED, "c": Fate.EXPIRED, "d": Fate.DONE}


def test_a_deadline_a_limit_and_a_request_too_large_are_told_apart() -> None:
    given = trace(
        "long,1000,1,1,1000,A100,0,100,20,",
        "late,1000,1,2,1000,A100,1,11,10,25",
        "large,1000,1,3,1000,,2,12,,",
        "unknown,1000,1,1,1000,H100,3,13,,",
        columns="max_seconds,deadline",
    )
    outcome = replay(given)
    records = by_name(outcome, given)
    assert {name: record.fate for name, record in records.items()} == {
        "long": Fate.CUT,
        "late": Fate.EXPIRED,
        "large": Fate.REFUSED,
        "unknown": Fate.REFUSED,
    }
    assert records["long"].ended == 20
    found = measure(outcome)
    assert (found.cut, found.expired, found.refused, found.done) == (1, 1, 2, 0)


def test_batch_gives_way_and_begins_anew() -> None:
    given = one_gpu("work,0,1000,batch", "me,100,200,interactive", columns="kind")
    outcome = replay(given, Policy(queue="fifo", preemption=True, grace_seconds=30))
    records = by_name(outcome, given)
    assert (records["me"].first_start, records["me"].ended) == (130, 230)
    assert (records["work"].requeues, records["work"].lost) == (1, 130)
    assert records["work"].ended == 230 + 1000
    assert measure(outcome).preemptions == 1
    assert measure(outcome).lost_device_hours == 130 / 3600


def test_who_ends_within_the_grace_time_has_lost_nothing() -> None:
    given = one_gpu("work,0,110,batch", "me,100,200,interactive", columns="kind")
    records = by_name(replay(given, Policy(preemption=True, grace_seconds=30)), given)
    assert (records["work"].fate, records["work"].requeues, records["me"].first_start) == (Fate.DONE, 0, 110)


def test_the_calendar_is_kept() -> None:
    given = one_gpu("a,0,10,batch", "b,1,11,interactive", columns="kind")
    day = Window("day", 0, 100, frozenset({SessionKind.INTERACTIVE}))
    night = Window("night", 100, 200, frozenset({SessionKind.BATCH}))
    outcome = replay(given, Policy(windows=(day, night)))
    assert starts(outcome, given) == {"a": 100, "b": 1}


def test_users_are_served_alike_under_drf_and_fair_share_but_not_first_come_first_served() -> None:
    lines = [f"a{at},1000,1,1,1000,,{at / 100},{10 + at / 100},ann" for at in range(20)]
    nodes = "sn,cpu_milli,memory_mib,gpu,model\nn,8000,8192,2,A100\n"
    given = trace(*lines, "b,1000,1,1,1000,,1,11,bob", columns="user", nodes=nodes)
    strict, fair, decayed = (replay(given, Policy(queue=queue)) for queue in ("fifo", "drf", "fair-share"))
    assert starts(strict, given)["b"] == 100
    assert starts(fair, given)["b"] == 10  # as soon as ann, who holds both GPUs, gives one back
    assert starts(decayed, given)["b"] == 10
    assert (measure(fair).fairness or 0) < 1


def test_fairness_is_1_when_all_users_wait_alike() -> None:
    assert measure(replay(one_gpu("a,0,10,ann", "b,50,60,bob", columns="user"))).fairness == 1
    # ann's job runs at once; bob's waits for as long as it then runs.
    unfair = measure(replay(one_gpu("a,0,20,ann", "b,10,20,bob", columns="user")))
    assert unfair.fairness == jain([1, 0.5])
    assert jain([1, 1, 1]) == jain([0, 0]) == 1
    assert jain([1, 0, 0, 0]) == 0.25


def random_trace(seed: int, count: int = 120) -> Trace:
    dice = random.Random(seed)
    lines = []
    for number in range(count):
        arrived, gpus = dice.randrange(300), dice.choice([0, 1, 1, 1, 2])
        milli = dice.choice([200, 500, 1000]) if gpus == 1 else 1000 * bool(gpus)
        models = dice.choice(["", "", "A100", "A100|T4"]) if gpus else ""
        lines.append(
            f"j{number},{dice.randrange(0, 5000)},{dice.randrange(0, 4000)},{gpus},{milli},{models},{arrived},"
            f"{arrived + dice.randrange(0, 80)},{dice.choice('abc')},{dice.choice(['', 30, 100])},"
            f"{dice.choice([1, 1, 1, 2])},{dice.choice(['any', 'spread', 'one-node'])},"
            f"{dice.choice(['batch', 'batch', 'interactive'])},{dice.choice([0, 0, 2])}"
        )
    return trace(*lines, columns="user,max_seconds,size,layout,kind,priority")


@pytest.mark.parametrize("queue", ["fifo", "lifo", "drf", "fair-share"])
@pytest.mark.parametrize("placement", ["pack", "spread", "fgd"])
def test_nothing_starts_early_and_nothing_is_given_twice(queue: str, placement: str) -> None:
    given = random_trace(7)
    policy = Policy(queue=queue, placement=placement, preemption=True, grace_seconds=5)  # type: ignore[arg-type]
    outcome = replay(given, policy, seed=3)
    for record in outcome.records:
        assert record.first_start >= record.job.request.arrived or not record.ran
        assert record.ended >= record.first_start or not record.ran
        assert record.fate is not Fate.LEFT
    course = outcome.course
    assert min(course.devices) >= 0
    assert max(course.devices) <= outcome.devices
    assert max(course.cpu) <= outcome.cpu
    assert max(course.memory) <= outcome.memory
    assert (course.devices[-1], course.cpu[-1], course.memory[-1], course.waiting[-1]) == (0, 0, 0, 0)
    assert all(0 <= rate <= 1 for rate in course.fragmentation)


def test_the_same_seed_gives_the_same_and_another_may_not() -> None:
    lines = [f"j{at},0,{10 + at}" for at in range(12)]
    given = one_gpu(*lines)
    policy = Policy(queue="fifo")
    first, again = measure(replay(given, policy, 1)), measure(replay(given, policy, 1))
    assert asdict(first) == asdict(again)
    turned = Trace(given.nodes, given.jobs)
    assert asdict(measure(replay(turned, policy, 1))) == asdict(first)
    assert len({measure(replay(given, policy, seed)).wait_mean for seed in range(5)}) > 1


def test_a_trace_without_run_times_cannot_be_replayed() -> None:
    with pytest.raises(InvalidInput, match="a: the trace does not say how long it ran; give it a deletion_time"):
        replay(one_gpu("a,0,"))


def test_the_real_trace_fits_easily_and_two_of_its_days_on_few_nodes_do_too() -> None:
    real = openb()
    first = sorted(real.jobs, key=lambda job: job.request.arrived)[-400:]
    found = measure(replay(Trace(real.nodes, tuple(first)), Policy(queue="drf", placement="pack")))
    assert (found.done, found.wait_max, found.left) == (400, 0, 0)
