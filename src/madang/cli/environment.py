"""`madang environment`: what sessions run in."""

from __future__ import annotations

from typing import Annotated

import typer

from madang.cli import output
from madang.cli.client import build_environment, with_client
from madang.cli.completion import environment_names
from madang.cli.i18n import t

app = typer.Typer(help=t("environment.help"), no_args_is_help=True, rich_markup_mode=None)


@app.command("ls", help=t("environment.ls"))
def ls(json: Annotated[bool, typer.Option("--json", help=t("json.help"))] = False) -> None:
    """See the catalogue for the help text."""
    environments = with_client(lambda client: client.environments.list())
    if json:
        output.dump(environments)
        return
    columns = [t(f"column.{name}") for name in ("name", "state", "size", "python", "description")]
    rows = []
    for one in environments:
        state = f"{one.state} {one.progress:.0%}" if one.progress is not None else str(one.state)
        size = output.human_bytes(one.size_bytes) if one.size_bytes is not None else ""
        rows.append([one.name, state, size, one.python, one.message or one.description])
    output.table(columns, rows, t("environment.none"))


@app.command("build", help=t("environment.build"))
def build(
    name: Annotated[
        str, typer.Argument(help=t("environment.name"), autocompletion=environment_names, metavar="ENVIRONMENT")
    ],
) -> None:
    """See the catalogue for the help text."""
    status = with_client(lambda client: build_environment(client, name))
    size = output.human_bytes(status.size_bytes or 0)
    print(t("environment.ready", name=status.name, size=size))
