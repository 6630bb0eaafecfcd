"""`madang node`: the machines that run sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.completion import node_names
from madang.cli.i18n import t

app = typer.Typer(help=t("node.help"), no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]


@app.command("ls", help=t("node.ls"))
def ls(json: Json = False) -> None:
    """See the catalogue for the help text."""
    nodes = with_client(lambda client: client.nodes.list())
    if json:
        output.dump(nodes)
        return
    columns = [t(f"column.{name}") for name in ("name", "state", "sessions", "used", "runtime", "limits")]
    rows = [
        [
            node.name,
            node.state,
            str(node.sessions),
            shares(node.used, node.slots),
            node.report.runtime,
            node.report.limits,
        ]
        for node in nodes
    ]
    output.table(columns, rows, t("node.none"))


@app.command("show", help=t("node.show"))
def show(
    name: Annotated[str, typer.Argument(help=t("node.name"), autocompletion=node_names, metavar="NODE")],
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    node = with_client(lambda client: client.nodes.get(name))
    if json:
        output.dump(node)
        return
    report = node.report
    output.fields(
        {
            t("column.name"): node.name,
            t("column.state"): node.state,
            t("column.used"): shares(node.used, node.slots),
            t("column.sessions"): str(node.sessions),
            t("column.system"): f"{report.system}, {report.architecture}",
            t("column.runtime"): _with(report.runtime, report.runtime_reason),
            t("column.limits"): _with(report.limits, report.limits_reason),
            t("column.network"): _with(", ".join(report.networks), report.networks_reason),
            t("column.version"): report.version,
        }
    )


def shares(used: Mapping[str, int], slots: Mapping[str, int]) -> str:
    """What is taken of what there is: `cpu 1/2, mem 1g/22g`."""
    from madang.domain.slots import format_amount

    return ", ".join(
        f"{name} {format_amount(name, used.get(name, 0))}/{format_amount(name, amount)}"
        for name, amount in sorted(slots.items())
    )


def _with(value: str, reason: str) -> str:
    return f"{value} ({reason})" if reason else value
