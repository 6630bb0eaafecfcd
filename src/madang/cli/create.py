"""`madang session create`: start a session that people come into, and do not wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from madang.cli import asking, output
from madang.cli.asking import DEFAULT_GROUP, Asked
from madang.cli.i18n import t
from madang.cli.run import exit_code, foresee
from madang.domain.session import Layout, SessionKind

if TYPE_CHECKING:
    from madang.sdk import AsyncClient


def register(app: typer.Typer) -> None:
    """Add the command."""
    settings = {"allow_interspersed_args": False, "ignore_unknown_options": False}
    app.command(name="create", help=t("session.create"), context_settings=settings)(create)


def create(
    command: Annotated[list[str] | None, typer.Argument(help=t("session.create_command"), metavar="COMMAND...")] = None,
    kind: Annotated[
        SessionKind, typer.Option("--kind", help=t("session.create_kind"), show_default=True)
    ] = SessionKind.INTERACTIVE,
    env: asking.Env = "python",
    cpu: asking.Cpu = None,
    mem: asking.Mem = None,
    gpu: asking.Gpu = None,
    gpu_model: asking.GpuModel = None,
    slot: asking.Slot = None,
    name: asking.Name = None,
    variable: asking.Variable = None,
    network: asking.Network = None,
    group: asking.Group = DEFAULT_GROUP,
    priority: asking.Priority = 0,
    size: asking.Size = 1,
    layout: asking.LayoutOption = Layout.ANY,
    start_at: asking.StartAt = None,
    max_time: asking.MaxTime = None,
    deadline: asking.Deadline = None,
    after: asking.After = None,
    after_ok: asking.AfterOk = None,
    reservation: asking.Reserved = None,
    preemptible: asking.Preemptible = None,
    project: asking.Project = None,
    preset: asking.Preset = None,
    dry_run: asking.DryRun = False,
    json: Annotated[bool, typer.Option("--json", help=t("json.help"))] = False,
) -> None:
    """See the catalogue for the help text."""
    asked = Asked(
        kind, env, cpu, mem, slot or [], gpu, gpu_model, name, variable or [], network, group, priority,
        size, layout, start_at, max_time, deadline, after or [], after_ok or [], reservation, preemptible, project,
        preset,
    )  # fmt: skip
    if dry_run:
        raise typer.Exit(exit_code(lambda client: foresee(client, asked, command or [], json)))
    raise typer.Exit(exit_code(lambda client: _create(client, asked, command or [], json)))


async def _create(client: AsyncClient, asked: Asked, command: list[str], json: bool) -> int:
    session = await client.sessions.create(command, **await asked.complete(client, asked.checked()))
    if json:
        output.dump(session)
    else:
        print(session.name)
    return 0
