"""`madang maintenance`: a time in which no session starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from madang.cli import output
from madang.cli.announcement import by_language
from madang.cli.client import with_client
from madang.cli.i18n import language, t
from madang.cli.moments import parse_moment, show_moment
from madang.domain.notices import in_language

if TYPE_CHECKING:
    from madang.schemas.site import MaintenanceState

app = typer.Typer(help=t("maintenance.help"), no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]


@app.command("on", help=t("maintenance.on"))
def on(
    message: Annotated[str, typer.Option("--message", metavar="TEXT", help=t("maintenance.message"))] = "",
    ko: Annotated[str | None, typer.Option("--ko", metavar="TEXT", help=t("announcement.ko"))] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help=t("maintenance.until"))] = None,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    ends = parse_moment(until) if until is not None else None
    text = by_language(message, ko)
    _show(with_client(lambda client: client.maintenance.on(text, until=ends)), json)


@app.command("off", help=t("maintenance.off"))
def off(json: Json = False) -> None:
    """See the catalogue for the help text."""
    _show(with_client(lambda client: client.maintenance.off()), json)


@app.command("status", help=t("maintenance.status"))
def status(json: Json = False) -> None:
    """See the catalogue for the help text."""
    _show(with_client(lambda client: client.maintenance.get()), json)


def _show(state: MaintenanceState, json: bool) -> None:
    if json:
        output.dump(state)
    else:
        print(sentence(state))


def sentence(state: MaintenanceState) -> str:
    """Whether it is on, until when, and what was said of it."""
    if not state.on:
        return t("maintenance.is_off")
    said = in_language(state.message, language())
    told = t("maintenance.is_on_until", time=show_moment(state.until)) if state.until else t("maintenance.is_on")
    return f"{told} {said}".rstrip()
