"""`madang preset`: named slot bundles of resource groups."""

from __future__ import annotations

from typing import Annotated

import typer

from madang.cli import output
from madang.cli.asking import DEFAULT_GROUP, parse_slots
from madang.cli.client import with_client
from madang.cli.completion import group_names, preset_names
from madang.cli.i18n import t
from madang.domain.errors import InvalidInput

app = typer.Typer(help=t("preset.help"), no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]
Name = Annotated[str, typer.Argument(help=t("preset.name"), autocompletion=preset_names, metavar="PRESET")]
Group = Annotated[str, typer.Option("--group", help=t("preset.group"), autocompletion=group_names, show_default=True)]


@app.command("ls", help=t("preset.ls"))
def ls(group: Group = DEFAULT_GROUP, json: Json = False) -> None:
    """See the catalogue for the help text."""
    presets = with_client(lambda client: client.presets.list(group))
    if json:
        output.dump(presets)
        return
    columns = [t(f"column.{name}") for name in ("name", "slots", "title")]
    rows = [[one.name, output.slots(one.slots), one.title] for one in presets]
    output.table(columns, rows, t("preset.none", group=group))


@app.command("add", help=t("preset.add"))
@app.command("set", help=t("preset.set"))
def change(
    name: Name,
    slots: Annotated[list[str] | None, typer.Argument(help=t("preset.slots"), metavar="SLOT=AMOUNT...")] = None,
    group: Group = DEFAULT_GROUP,
    title: Annotated[str, typer.Option("--title", help=t("people.title"))] = "",
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    asked = parse_slots(slots or [])
    if not asked:
        raise InvalidInput(t("preset.empty"))
    preset = with_client(lambda client: client.presets.set(name, asked, group=group, title=title))
    if json:
        output.dump(preset)
    else:
        output.fields({t("column.name"): preset.name, t("column.slots"): output.slots(preset.slots)})


@app.command("rm", help=t("preset.rm"))
def remove(name: Name, group: Group = DEFAULT_GROUP) -> None:
    """See the catalogue for the help text."""
    with_client(lambda client: client.presets.delete(name, group=group))
    print(name)
