"""`madang domain`: the organisations on one platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.i18n import t

if TYPE_CHECKING:
    from madang.schemas.people import Domain

app = typer.Typer(help=t("domain.help"), no_args_is_help=True, rich_markup_mode=None)
Name = Annotated[str, typer.Argument(help=t("domain.name"), metavar="DOMAIN")]
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]
Active = Annotated[bool | None, typer.Option("--active/--inactive", help=t("people.active"), show_default=False)]


@app.command("ls", help=t("domain.ls"))
def ls(json: Json = False) -> None:
    """See the catalogue for the help text."""
    found = with_client(lambda client: client.domains.list())
    if json:
        output.dump(found)
        return
    columns = [t(f"column.{name}") for name in ("name", "title", "active", "projects", "users")]
    rows = [[one.name, one.title, active_text(one.active), str(one.projects), str(one.users)] for one in found]
    output.table(columns, rows, t("domain.none"))


@app.command("show", help=t("domain.show"))
def show(name: Name, json: Json = False) -> None:
    """See the catalogue for the help text."""
    _print(with_client(lambda client: client.domains.get(name)), json)


@app.command("add", help=t("domain.add"))
def add(
    name: Name, title: Annotated[str, typer.Option("--title", help=t("people.title"))] = "", json: Json = False
) -> None:
    """See the catalogue for the help text."""
    _print(with_client(lambda client: client.domains.create(name, title=title)), json)


@app.command("set", help=t("domain.set"))
def change(
    name: Name,
    title: Annotated[str | None, typer.Option("--title", help=t("people.title"))] = None,
    active: Active = None,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    _print(with_client(lambda client: client.domains.update(name, title=title, active=active)), json)


@app.command("rm", help=t("domain.rm"))
def remove(name: Name) -> None:
    """See the catalogue for the help text."""
    with_client(lambda client: client.domains.delete(name))
    print(name)


def active_text(active: bool) -> str:
    """For people."""
    return t("people.yes") if active else t("people.no")


def _print(domain: Domain, json: bool) -> None:
    if json:
        output.dump(domain)
        return
    output.fields(
        {
            t("column.name"): domain.name,
            t("column.title"): domain.title,
            t("column.active"): active_text(domain.active),
            t("column.projects"): str(domain.projects),
            t("column.users"): str(domain.users),
        }
    )
