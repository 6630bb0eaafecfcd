"""The demo: train on handwritten digits in three sandboxes at once, see a limit at work, stop everything."""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from madang.domain.errors import MadangError
from madang.domain.session import ExitReason, SessionState
from madang.domain.slots import Slots
from madang.schemas.agent import Limits, NodeReport
from madang.schemas.api import Session
from madang.sdk import Client
from scripts.private_platform import ROOT, PlatformFailed, PrivatePlatform, wait_for_environment

EXAMPLE = ROOT / "examples" / "digits"
NEEDED_CPU = 2000  # millicores that all jobs take together


@dataclass(frozen=True, slots=True)
class Job:
    """One session of the demo."""

    name: str
    colour: str
    cpu: int  # millicores
    mem: str
    command: Sequence[str]


JOBS = (
    Job("small", "cyan", 400, "320m", ("python", "train.py", "--hidden", "4")),
    Job("medium", "green", 500, "384m", ("python", "train.py", "--hidden", "16")),
    Job("large", "yellow", 600, "512m", ("python", "train.py", "--hidden", "64")),
    Job("hog", "magenta", 500, "128m", ("python", "hog.py")),
)


class Demo:
    """Runs all jobs on one platform and tells what happens."""

    def __init__(self, client: Client, console: Console) -> None:
        self._client = client
        self._console = console

    def run(self) -> bool:
        """True when every training succeeded and the limit was kept, as far as this machine can enforce it."""
        wait_for_environment(self._client, "python", self._console)
        node = self._client.nodes.list()[0].report
        self._console.print(f"\n[bold]Four jobs at once[/] ({node.system}; {node.runtime}, limits {node.limits})")
        if node.runtime_reason:
            self._console.print(f"  {node.runtime_reason}", style="yellow", markup=False)
        sessions = {job: self._start(job, node) for job in JOBS}
        followers = [threading.Thread(target=self._follow, args=item) for item in sessions.items()]
        for follower in followers:
            follower.start()
        for follower in followers:
            follower.join()
        ended = {job: self._client.sessions.wait(session.id) for job, session in sessions.items()}
        accuracies = {job: self._accuracy(session) for job, session in ended.items()}
        self._console.print(self._table(ended, accuracies))
        trained = all(accuracies[job] is not None for job in JOBS if job.name != "hog")
        limited = self._explain_hog(ended[JOBS[-1]], node)
        for session in ended.values():
            self._client.sessions.delete(session.id)
        return trained and limited

    def _start(self, job: Job, node: NodeReport) -> Session:
        share = min(1.0, node.slots["cpu"] / NEEDED_CPU)  # on one core all four still run at the same time
        slots = Slots({"cpu": int(job.cpu * share), "mem": Slots.parse({"mem": job.mem})["mem"]})
        upload = self._client.uploads.create(EXAMPLE)
        session = self._client.sessions.create(
            command=list(job.command), environment="python", name=job.name, slots=dict(slots), upload=upload
        )
        self._line(job, f"$ {' '.join(job.command)}   ({slots.human()})", "bold")
        return session

    def _follow(self, job: Job, session: Session) -> None:
        rest = b""
        for piece in self._client.sessions.logs(session.id):
            *lines, rest = (rest + piece.data).split(b"\n")
            for line in lines:
                self._line(job, line.decode(errors="replace"))
        if rest:
            self._line(job, rest.decode(errors="replace"))

    def _line(self, job: Job, text: str, style: str = "") -> None:
        self._console.print(Text.assemble((f"{job.name:>8} | ", job.colour), (text, style)))

    def _accuracy(self, session: Session) -> float | None:
        if session.state is not SessionState.SUCCEEDED or session.command[1] == "hog.py":
            return None
        metrics = json.loads(self._client.files.read(session.id, "out/metrics.json"))
        return float(metrics["accuracy"])

    def _table(self, ended: dict[Job, Session], accuracies: dict[Job, float | None]) -> Table:
        table = Table("job", "limits", "ended", "seconds", "accuracy", title="\nWhat came of it", title_justify="left")
        for job, session in ended.items():
            accuracy = accuracies[job]
            seconds = (
                f"{(session.ended_at - session.started_at).total_seconds():.1f}"
                if session.started_at and session.ended_at
                else ""
            )
            how = session.exit.message if session.exit and session.state is not SessionState.SUCCEEDED else ""
            table.add_row(
                Text(job.name, job.colour),
                Slots(session.slots).human(),
                f"{session.state}{': ' if how else ''}{how}",
                seconds,
                "" if accuracy is None else f"{accuracy:.3f}",
            )
        return table

    def _explain_hog(self, session: Session, node: NodeReport) -> bool:
        if session.exit is not None and session.exit.reason is ExitReason.OOM:
            self._console.print("The hog was ended for exceeding its memory; the others never noticed.")
            return True
        if node.limits is Limits.ADVISORY:
            self._console.print(f"Limits are only advisory here, so the hog was not ended: {node.limits_reason}")
            return True
        self._console.print("[red]The hog was not ended for exceeding its memory.[/]")
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--screenshot", type=Path, help="write what the terminal showed as an SVG picture")
    options = parser.parse_args()
    console = Console(record=options.screenshot is not None, highlight=False)
    if options.screenshot or not console.is_terminal:
        console.width = 110
    began = time.monotonic()
    platform = PrivatePlatform(lambda line: console.print(line, markup=False, style="dim", soft_wrap=True))
    try:
        with platform:
            with Client(url=platform.url, token=platform.token) as client:
                fine = Demo(client, console).run()
            platform.stop()
            left = platform.wait_until_gone(10)
    except (PlatformFailed, MadangError) as error:
        console.print(f"[red]The demo failed:[/] {error}")
        return 1
    if left:
        console.print(f"[red]Processes are left:[/] {', '.join(str(process) for process in left)}")
    elif fine:
        console.print(f"Everything is stopped, no process is left. ({time.monotonic() - began:.0f} s)")
    if options.screenshot:
        options.screenshot.parent.mkdir(parents=True, exist_ok=True)
        console.save_svg(str(options.screenshot), title="make demo")
    return 0 if fine and not left else 1


if __name__ == "__main__":
    sys.exit(main())
