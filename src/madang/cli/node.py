"""`madang node`: the machines that run sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.completion import group_names, node_names
from madang.cli.i18n import t
from madang.domain.devices import device_word, is_device_slot
from madang.domain.slots import format_amount

if TYPE_CHECKING:
    from madang.schemas.api import DeviceState

app = typer.Typer(help=t("node.help"), no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]
Name = Annotated[str, typer.Argument(help=t("node.name"), autocompletion=node_names, metavar="NODE")]


@app.command("ls", help=t("node.ls"))
def ls(json: Json = False) -> None:
    """See the catalogue for the help text."""
    nodes = with_client(lambda client: client.nodes.list())
    if json:
        output.dump(nodes)
        return
    columns = [t(f"column.{name}") for name in ("name", "group", "state", "sessions", "used", "devices", "limits")]
    rows = [
        [
            node.name,
            node.resource_group,
            node.state,
            str(node.sessions),
            shares(node.used, node.slots),
            _devices(node.devices),
            node.report.limits,
        ]
        for node in nodes
    ]
    output.table(columns, rows, t("node.none"))


@app.command("show", help=t("node.show"))
def show(
    name: Name,
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
            t("column.group"): node.resource_group,
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
    if not node.devices:
        return
    print()
    columns = [t(f"column.{name}") for name in ("device", "model", "memory", "numa", "links", "free", "sessions")]
    rows = [
        [
            f"{device_word(one.kind)} {one.index}",
            _model(one),
            format_amount("mem", one.mem) if one.mem else "",
            str(one.numa) if one.numa >= 0 else "",
            ", ".join(map(str, one.links)),
            f"{(1000 - one.used) / 1000:g}",
            ", ".join(one.sessions),
        ]
        for one in node.devices
    ]
    output.table(columns, rows, "")


@app.command("set", help=t("node.set"))
def change(
    name: Name,
    group: Annotated[str, typer.Option("--group", help=t("node.group"), autocompletion=group_names)],
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    node = with_client(lambda client: client.nodes.update(name, resource_group=group))
    if json:
        output.dump(node)
    else:
        print(f"{node.name} {node.resource_group}")


def _devices(devices: Sequence[DeviceState]) -> str:
    """`4x A100 (mock), 2.7 free`, for each model."""
    by_model: dict[str, list[DeviceState]] = {}
    for device in devices:
        by_model.setdefault(_model(device), []).append(device)
    return "; ".join(
        t("node.devices", count=len(some), model=model, free=f"{sum(1000 - one.used for one in some) / 1000:g}")
        for model, some in by_model.items()
    )


def _model(device: DeviceState) -> str:
    return t("node.mock", model=device.model) if device.mock else device.model


def shares(used: Mapping[str, int], slots: Mapping[str, int]) -> str:
    """What is taken of what there is: `cpu 1/2, mem 1g/22g`; devices are told by their models."""
    return ", ".join(
        f"{name} {format_amount(name, used.get(name, 0))}/{format_amount(name, amount)}"
        for name, amount in sorted(slots.items())
        if not is_device_slot(name)
    )


def _with(value: str, reason: str) -> str:
    return f"{value} ({reason})" if reason else value
