"""Passes of the scheduler over 2,000 nodes of 8 GPUs and 10,000 pending sessions of 100 users, on one core."""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from benchmarks.base import Bench, Result
from madang.domain.devices import Claim, Share
from madang.scheduling.decisions import Placement
from madang.scheduling.plan import plan
from madang.scheduling.policy import PlacementName, Policy, Queue
from madang.scheduling.snapshot import Device, Node, Part, Request, Running, Snapshot
from madang.scheduling.state import ClusterState
from scripts.private_platform import ROOT

RATES: Final[dict[str, tuple[Queue, PlacementName]]] = {
    "plan-rate": ("drf", "fgd"),  # what a new resource group has
    "plan-rate-fifo": ("fifo", "pack"),
    "plan-rate-lifo": ("lifo", "pack"),
    "plan-rate-drf": ("drf", "pack"),
    "plan-rate-fair-share": ("fair-share", "pack"),
    "plan-rate-pack": ("drf", "pack"),
    "plan-rate-spread": ("drf", "spread"),
    "plan-rate-fgd": ("drf", "fgd"),
}
NAMES = ("plan-pass-s", "plan-growth", *RATES)
NODES, PENDING, USERS, RUNS = 2000, 10_000, 100, 5
NOW = 1e6
GIB = 2**30
PLOT = ROOT / "build" / "plan-cost.png"


def _asks() -> list[tuple[dict[str, int], Claim | None, int]]:
    """What sessions ask for, and how often: 40 shapes, most of them one GPU or a part of one."""
    asks: list[tuple[dict[str, int], Claim | None, int]] = [
        ({"cpu": cpu, "mem": cpu // 1000 * 6 * GIB}, Claim("cuda", 1, milli), 3)
        for milli in (100, 200, 250, 300, 400, 500, 600, 700, 800, 1000, 1000, 1000)
        for cpu in (2000, 4000, 8000)
    ]
    return [
        *asks,
        ({"cpu": 16000, "mem": 96 * GIB}, Claim("cuda", 2, 1000), 2),
        ({"cpu": 32000, "mem": 96 * GIB}, Claim("cuda", 4, 1000), 1),
        ({"cpu": 4000, "mem": 16 * GIB}, None, 6),
        ({"cpu": 8000, "mem": 16 * GIB}, None, 6),
    ]


def cluster(nodes: int, pending: int, busy: float) -> ClusterState:
    """Nodes of 8 GPUs, on which the sessions already running hold such a part of every one; the others wait."""
    chance = random.Random(1)
    state = ClusterState()
    devices = tuple(Device(at, "A100", numa=at // 4, links=frozenset(range(8)) - {at}) for at in range(8))
    for number in range(nodes):
        name = f"node-{number:05}"
        state.set_node(Node(name, {"cpu": 96_000, "mem": 768 * GIB}, devices={"cuda": devices}))
        taken = round(busy * 8)
        if taken:
            held = tuple(Share(at, 1000) for at in range(taken))
            part = Part(name, {"cpu": 12_000 * taken, "mem": 96 * GIB * taken}, "cuda", held)
            user = f"user-{chance.randrange(USERS)}"
            state.start(Running(f"r{number}", (part,), user, ends=NOW + chance.randrange(100_000)))
    asks = _asks()
    for number, (slots, claim, _) in enumerate(chance.choices(asks, [weight for *_, weight in asks], k=pending)):
        user, project = f"user-{chance.randrange(USERS)}", f"project-{chance.randrange(20)}"
        state.add(Request(f"s{number:06}", slots, float(number), claim=claim, user=user, project=project))
    return state


def fastest(run: Callable[[], object], prepare: Callable[[], None] = lambda: None, runs: int = RUNS) -> float:
    """The least processor seconds of some runs: others use this machine as well."""
    best = math.inf
    for _ in range(runs):
        prepare()
        gc.collect()
        began = time.process_time()
        run()
        best = min(best, time.process_time() - began)
    return best


def one_pass(nodes: int, pending: int, busy: float, policy: Policy) -> tuple[float, int]:
    """Processor seconds of one pass, the first one over such a cluster, and how many sessions it places."""
    snapshot: list[Snapshot] = []
    placed = 0

    def fresh() -> None:
        # A new state: nothing is remembered from an earlier pass.
        snapshot[:] = [cluster(nodes, pending, busy).snapshot()]

    def run() -> None:
        nonlocal placed
        placed = sum(isinstance(one, Placement) for one in plan(snapshot[0], NOW, policy))

    return fastest(run, fresh), placed


def bare_loop() -> float:
    """Placements a second of best fit as a bare loop over columns, without queue, devices, gangs or reasons."""
    free = np.full((3, NODES), 8000, dtype=np.int64)
    chance = random.Random(1)
    asked = [np.array([chance.randrange(10, 4000) for _ in range(3)]) for _ in range(PENDING)]

    def run() -> None:
        for one in asked:
            fits = (free[0] >= one[0]) & (free[1] >= one[1]) & (free[2] >= one[2])
            node = int(np.where(fits, free[2], 1 << 40).argmin())
            if fits[node]:
                free[:, node] -= one

    return PENDING / fastest(run, runs=1)


def measure(bench: Bench) -> Sequence[Result]:
    baseline = bare_loop()
    timed: dict[tuple[Queue, PlacementName], tuple[float, int]] = {}
    results = []
    for name, (queue, placement) in RATES.items():
        if (queue, placement) not in timed:
            timed[queue, placement] = one_pass(NODES, PENDING, 0.0, Policy(queue=queue, placement=placement))
            seconds, placed = timed[queue, placement]
            bench.say(f"  {queue} {placement}: {placed:,} placed in {seconds:.2f} s")
        seconds, placed = timed[queue, placement]
        note = f"{queue} {placement}; baseline: a bare numpy loop"
        results.append(Result(name, placed / seconds, baseline, note, errors=PENDING - placed))
    policy = Policy(queue="drf", placement="fgd")
    worst, note = timed["drf", "fgd"][0], "the slowest of: all placed"
    for busy in (0.75, 1.0):
        seconds, placed = one_pass(NODES, PENDING, busy, policy)
        bench.say(f"  {busy:.0%} busy: {placed:,} placed, the others told why not, in {seconds:.2f} s")
        worst, note = max(worst, seconds), f"{note}, {placed:,} placed"
    growth, text = _growth(bench, policy)
    return [*results, Result("plan-pass-s", worst, note=note), Result("plan-growth", growth, note=text)]


def _growth(bench: Bench, policy: Policy) -> tuple[float, str]:
    """How the cost of a pass grows with nodes and with pending sessions: the larger exponent, and where the plot is."""
    by_nodes = {nodes: one_pass(nodes, PENDING, 0.0, policy)[0] for nodes in (500, 1000, 2000, 4000)}
    by_pending = {pending: one_pass(NODES, pending, 0.0, policy)[0] for pending in (2500, 5000, 10_000, 20_000)}
    figure = Figure(figsize=(10, 4), layout="constrained")
    both = (figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2))
    exponents = []
    for axes, costs, word in zip(both, (by_nodes, by_pending), ("nodes", "pending sessions"), strict=True):
        exponents.append(float(np.polyfit(np.log(list(costs)), np.log(list(costs.values())), 1)[0]))
        bench.say("  " + ", ".join(f"{count:,} {word}: {seconds:.2f} s" for count, seconds in costs.items()))
        axes.plot(list(costs), list(costs.values()), marker="o")
        axes.set(xlabel=word, ylabel="seconds of one pass", ylim=(0, None), xlim=(0, None))
        axes.set_title(f"grows with the power {exponents[-1]:.2f}")
        axes.grid(alpha=0.3)
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, dpi=120)
    return max(exponents), f"nodes {exponents[0]:.2f}, pending {exponents[1]:.2f}; {PLOT.relative_to(ROOT)}"
