"""Drawings of replays and fillings, in English (fonts for more may be missing), with matplotlib of the extra `plot`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from madang.domain.errors import InvalidInput
from madang.scheduling.columns import Times
from madang.scheduling.simulate.fill import Filling
from madang.scheduling.simulate.outcome import Outcome

_UNITS: Final = ((2 * 86_400.0, 86_400.0, "days"), (2 * 3600.0, 3600.0, "hours"), (120.0, 60.0, "minutes"))


def draw_replay(outcome: Outcome, path: Path, title: str) -> None:
    """Three panels: the share of devices given away and the length of the queue over time, and how long jobs waited.

    The ending of the path decides the format (png, svg, pdf). Raises InvalidInput for another one, and OSError.
    """
    figure = Figure(figsize=(9, 9), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1)
    figure.suptitle(title)
    course = outcome.course
    times: Times = np.array(course.times) - course.times[0]
    length, unit = _unit(float(times[-1]))
    written = f"time since the first arrival ({unit})"
    top.step(times / length, np.array(course.devices) / max(1, outcome.devices), where="post", linewidth=1)
    _say(top, written, "devices given away")
    _as_percent(top)
    middle.step(times / length, np.array(course.waiting), where="post", linewidth=1)
    _say(middle, written, "jobs that wait")
    middle.set_ylim(bottom=0)
    waits: Times = np.sort([record.first_start - record.ready for record in outcome.records if record.ran])
    shares = np.arange(len(waits) + 1) / max(1, len(waits))
    bottom.step(np.concatenate([[0.0], waits]), shares, where="post")
    bottom.set_xscale("symlog", linthresh=1)
    bottom.set_xlim(left=0)
    _say(bottom, "waited no longer than (seconds)", "jobs")
    _as_percent(bottom)
    _save(figure, path)


def draw_fill(fillings: Mapping[int, Filling], path: Path, title: str) -> None:
    """The share of devices given away against what was asked for, a line a seed. Raises as `draw_replay` does."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    figure.suptitle(title)
    for seed, filling in fillings.items():
        arrived = [point.arrived for point in filling.curve]
        axes.plot(arrived, [point.allocated for point in filling.curve], linewidth=1, label=f"seed {seed}")
    most = max(filling.curve[-1].arrived for filling in fillings.values())
    axes.plot([0, min(1.0, most)], [0, min(1.0, most)], linewidth=0.8, linestyle=":", color="gray")
    _say(axes, "devices asked for by all who came", "devices given away")
    _as_percent(axes)
    axes.legend(loc="lower right", fontsize="small")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    _save(figure, path)


def _unit(seconds: float) -> tuple[float, str]:
    """A unit in which so long a time is a number people like."""
    return next(((length, name) for least, length, name in _UNITS if seconds >= least), (1.0, "seconds"))


def _say(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)


def _as_percent(axes: Axes) -> None:
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _save(figure: Figure, path: Path) -> None:
    known = figure.canvas.get_supported_filetypes()
    ending = path.suffix.removeprefix(".").lower()
    if ending not in known:
        raise InvalidInput(
            f"{path.name}: a drawing ends in one of {', '.join(sorted(known))}, such as {path.stem}.png."
        )
    figure.savefig(path, dpi=120)
