"""`madang profile`: the servers that somebody has signed in to, by name."""

from __future__ import annotations

from typing import Annotated

import typer

from madang.cli import output
from madang.cli.completion import profile_names
from madang.cli.i18n import t

app = typer.Typer(help=t("profile.help"), no_args_is_help=True, rich_markup_mode=None)
Name = Annotated[str, typer.Argument(help=t("profile.name"), metavar="NAME", autocompletion=profile_names)]


@app.command("ls", help=t("profile.ls"))
def ls(json: Annotated[bool, typer.Option("--json", help=t("profile.json"))] = False) -> None:
    """See the catalogue for the help text."""
    from madang.sdk.profiles import read_profiles

    kept = read_profiles()
    found = sorted(kept.profiles.items())
    if json:
        output.dump({"default": kept.default, "profiles": {name: one.url for name, one in found}})
        return
    columns = [t(f"column.{name}") for name in ("name", "server", "default")]
    rows = [[name, one.url, t("people.yes") if name == kept.default else ""] for name, one in found]
    output.table(columns, rows, t("profile.none"))


@app.command("use", help=t("profile.use"))
def use(name: Name) -> None:
    """See the catalogue for the help text."""
    from madang.sdk.profiles import change_profiles

    change_profiles(lambda kept: kept.using(name))
    print(name)


@app.command("rm", help=t("profile.rm"))
def remove(name: Name) -> None:
    """See the catalogue for the help text."""
    from madang.sdk.profiles import change_profiles

    change_profiles(lambda kept: kept.without(name))
    print(name)
