"""`madang simulate`: what would have happened to the jobs of a trace, and the platform's own history as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.completion import group_names
from madang.cli.i18n import t
from madang.domain.durations import format_seconds, parse_seconds
from madang.domain.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from madang.scheduling.policy import Policy
    from madang.scheduling.simulate.fill import Filling
    from madang.scheduling.simulate.metrics import FillMetrics, Number
    from madang.scheduling.simulate.outcome import Outcome
    from madang.scheduling.simulate.trace import Trace

app = typer.Typer(help=t("simulate.help"), invoke_without_command=True, rich_markup_mode=None)

_SHARES: Final = ("allocation", "utilisation", "fragmentation")
_RARE: Final = frozenset({"failed", "cut", "refused", "expired", "left", "preemptions", "lost_device_hours"})
"""Not worth a line where there are none."""
_TIMES: Final = ("wait_", "jct_", "makespan")
_COARSE: Final = ((2 * 86_400, 3600), (2 * 3600, 60))
"""From so many seconds on, times are rounded to so many."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What is to be simulated."""

    trace: Trace
    policy: Policy
    seeds: range
    until: float | None  # fill up to so many times the devices; None: replay
    plot: Path | None


@app.callback(help=t("simulate.help"))
def simulate(
    context: typer.Context,
    nodes: Annotated[Path | None, typer.Option("--nodes", help=t("simulate.nodes"), metavar="CSV")] = None,
    jobs: Annotated[Path | None, typer.Option("--jobs", help=t("simulate.jobs"), metavar="CSV")] = None,
    queue: Annotated[str, typer.Option("--queue", help=t("simulate.queue"))] = "drf",
    placement: Annotated[str, typer.Option("--placement", help=t("simulate.placement"))] = "fgd",
    backfill: Annotated[bool, typer.Option("--backfill/--no-backfill", help=t("simulate.backfill"))] = True,
    preemption: Annotated[bool, typer.Option("--preemption", help=t("simulate.preemption"))] = False,
    fill: Annotated[float | None, typer.Option("--fill", min=0.01, max=100, help=t("simulate.fill"))] = None,
    share: Annotated[float | None, typer.Option("--share", min=0.001, max=1, help=t("simulate.share"))] = None,
    load: Annotated[float, typer.Option("--load", min=0.001, max=1e6, help=t("simulate.load"))] = 1.0,
    known_times: Annotated[bool, typer.Option("--known-times", help=t("simulate.known_times"))] = False,
    seed: Annotated[int, typer.Option("--seed", help=t("simulate.seed"))] = 0,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help=t("simulate.seeds"))] = 1,
    json: Annotated[bool, typer.Option("--json", help=t("simulate.json"))] = False,
    plot: Annotated[Path | None, typer.Option("--plot", help=t("simulate.plot"), metavar="FILE")] = None,
) -> None:
    """See the catalogue for the help text."""
    if context.invoked_subcommand is not None:
        return
    if nodes is None or jobs is None:
        raise InvalidInput(t("simulate.which"))
    policy = _policy(queue, placement, backfill, preemption)
    if plot is not None:
        _check_plots()
    from madang.scheduling.simulate.trace import read_trace

    trace = read_trace(nodes, jobs)
    if share is not None:
        trace = trace.sharing(max(1, round(1000 * share)))
    if load != 1:
        trace = trace.denser(load)
    if known_times:
        trace = trace.estimated()
    question = _Question(trace, policy, range(seed, seed + seeds), fill, plot)
    if question.until is None:
        _replay(question, json)
    else:
        _fill(question, question.until, json)


@app.command("export", help=t("simulate.export"))
def export(
    nodes: Annotated[Path, typer.Option("--nodes", help=t("simulate.export_nodes"), metavar="CSV")],
    jobs: Annotated[Path, typer.Option("--jobs", help=t("simulate.export_jobs"), metavar="CSV")],
    since: Annotated[str | None, typer.Option("--since", help=t("simulate.since"), metavar="TIME")] = None,
    group: Annotated[str, typer.Option("--group", help=t("simulate.group"), autocompletion=group_names)] = "default",
    force: Annotated[bool, typer.Option("--force", help=t("simulate.force"))] = False,
) -> None:
    """See the catalogue for the help text."""
    from datetime import UTC, datetime, timedelta

    from madang.cli import exporting
    from madang.scheduling.simulate.trace import JOB_COLUMNS, NODE_COLUMNS

    now = datetime.now(UTC)
    first = None if since is None else now - timedelta(seconds=parse_seconds(since))
    history = with_client(lambda client: exporting.read_history(client, group, first))
    if not history.nodes:
        raise InvalidInput(t("simulate.no_nodes", group=group))
    rows = exporting.job_rows(history.sessions, now)
    if not rows:
        raise InvalidInput(t("simulate.no_jobs", group=group))
    node_rows = exporting.node_rows(history.nodes)
    if nodes == jobs:
        raise InvalidInput(t("simulate.one_file"))
    exporting.write(nodes, NODE_COLUMNS, node_rows, force=force)
    exporting.write(jobs, JOB_COLUMNS, rows, force=force)
    output.note(t("simulate.exported", nodes=len(node_rows), jobs=len(rows), left=len(history.sessions) - len(rows)))


def _policy(queue: str, placement: str, backfill: bool, preemption: bool) -> Policy:
    from madang.scheduling.plan import PLACEMENTS, QUEUES
    from madang.scheduling.policy import Policy

    known_queue = next((one for one in QUEUES if one == queue), None)
    known_placement = next((one for one in PLACEMENTS if one == placement), None)
    if known_queue is None:
        raise InvalidInput(t("simulate.unknown", option="--queue", value=queue, known=", ".join(QUEUES)))
    if known_placement is None:
        raise InvalidInput(t("simulate.unknown", option="--placement", value=placement, known=", ".join(PLACEMENTS)))
    return Policy(queue=known_queue, placement=known_placement, backfill=backfill, preemption=preemption)


def _check_plots() -> None:
    """So that nobody finds out after minutes of computing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise Unavailable(t("simulate.no_matplotlib")) from None


def _replay(question: _Question, json: bool) -> None:
    from madang.scheduling.simulate.metrics import average, measure, moments
    from madang.scheduling.simulate.replay import replay

    outcomes: dict[int, Outcome] = {}
    for seed in question.seeds:
        with output.bar(t("simulate.replaying", seed=seed)) as progress:
            outcomes[seed] = replay(question.trace, question.policy, seed, lambda part: progress(part, ""))
    metrics = [measure(outcome) for outcome in outcomes.values()]
    if question.plot is not None:
        from madang.scheduling.simulate.plots import draw_replay

        draw_replay(outcomes[question.seeds[0]], question.plot, _title(question))
    if json:
        runs = [
            {"seed": seed, **asdict(one), "course": [asdict(moment) for moment in moments(outcome)]}
            for (seed, outcome), one in zip(outcomes.items(), metrics, strict=True)
        ]
        output.dump({**_setting(question), **asdict(average(metrics)), "runs": runs})
        return
    _say_title(question)
    _show([asdict(one) for one in metrics], asdict(average(metrics)))


def _fill(question: _Question, until: float, json: bool) -> None:
    from madang.scheduling.simulate.fill import fill
    from madang.scheduling.simulate.metrics import average, measure_fill

    fillings: dict[int, Filling] = {}
    for seed in question.seeds:
        with output.bar(t("simulate.filling", seed=seed)) as progress:
            fillings[seed] = fill(
                question.trace, question.policy.placement, until, seed, lambda part: progress(part, "")
            )
    metrics = [measure_fill(filling) for filling in fillings.values()]
    if question.plot is not None:
        from madang.scheduling.simulate.plots import draw_fill

        draw_fill(fillings, question.plot, _title(question))
    named = [_named(one) for one in metrics]
    mean = _named(average(metrics))
    if json:
        runs = [
            {"seed": seed, **one, "curve": [asdict(point) for point in filling.curve]}
            for (seed, filling), one in zip(fillings.items(), named, strict=True)
        ]
        output.dump({**_setting(question), **mean, "runs": runs})
        return
    _say_title(question)
    _show(named, mean)


def _named(metrics: FillMetrics) -> dict[str, Number]:
    """`allocation_at_130` is the name of where it ended when that was at 130%."""
    end = f"at_{round(100 * (metrics.until or 0))}"
    return {name.replace("at_until", end): value for name, value in asdict(metrics).items()}


def _setting(question: _Question) -> dict[str, object]:
    trace, policy = question.trace, question.policy
    return {
        "nodes": len(trace.nodes),
        "devices": trace.devices // 1000,
        "queue": policy.queue,
        "placement": policy.placement,
        "backfill": policy.backfill,
        "preemption": policy.preemption,
        "seeds": list(question.seeds),
    }


def _rules(question: _Question) -> str:
    """`drf, fgd, backfill`; placement alone matters when a cluster is filled."""
    policy = question.policy
    if question.until is not None:
        return policy.placement
    ways = {"backfill": policy.backfill, "preemption": policy.preemption}
    return ", ".join([policy.queue, policy.placement, *(name for name, chosen in ways.items() if chosen)])


def _say_title(question: _Question) -> None:
    trace = question.trace
    nodes, gpus, jobs = len(trace.nodes), trace.devices // 1000, len(trace.jobs)
    output.note(t("simulate.title", nodes=nodes, gpus=gpus, jobs=jobs, rules=_rules(question)))


def _title(question: _Question) -> str:
    """What stands above a drawing; drawings are in English."""
    trace = question.trace
    counts = f"{len(trace.nodes):,} nodes, {trace.devices // 1000:,} GPUs, {len(trace.jobs):,} jobs"
    return f"{counts}; {_rules(question)}"


def _show(runs: Sequence[dict[str, Number]], mean: dict[str, Number]) -> None:
    columns = [t("column.measure"), t("column.mean") if len(runs) > 1 else t("column.value")]
    columns += [t("column.least"), t("column.most")] if len(runs) > 1 else []
    rows = []
    for name, value in mean.items():
        if value is None or name == "until" or (name in _RARE and not value):
            continue
        known = [number for one in runs if (number := one[name]) is not None]
        numbers = [value, min(known), max(known)] if len(runs) > 1 else [value]
        rows.append([_label(name), *(_number(name, number) for number in numbers)])
    output.table(columns, rows, "")


def _label(name: str) -> str:
    for measure in ("allocation", "fragmentation"):
        if name.startswith(f"{measure}_at_"):
            return t(f"simulate.at_{measure}", percent=name.removeprefix(f"{measure}_at_"))
    return t(f"simulate.name_{name}")


def _number(name: str, number: float) -> str:
    if name.startswith(_SHARES):
        return f"{100 * number:.2f}%"
    if name.startswith(_TIMES):
        step = next((step for least, step in _COARSE if number >= least), 1)
        return format_seconds(round(number / step) * step if step > 1 else number)
    return f"{number:,.3f}".rstrip("0").rstrip(".")
