"""`madang announcement`: what everybody shall know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.i18n import language, t
from madang.cli.moments import parse_moment, show_moment
from madang.domain.notices import NoticeLevel, in_language

if TYPE_CHECKING:
    from madang.schemas.site import Announcement

app = typer.Typer(help=t("announcement.help"), no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]


@app.command("ls", help=t("announcement.ls"))
def ls(
    everything: Annotated[bool, typer.Option("--all", help=t("announcement.all"))] = False, json: Json = False
) -> None:
    """See the catalogue for the help text."""
    announcements = with_client(lambda client: client.announcements.list(everything=everything))
    if json:
        output.dump(announcements)
        return
    columns = [t(f"column.{name}") for name in ("id", "level", "since", "until", "message")]
    output.table(columns, [_row(one) for one in announcements], t("announcement.none"))


@app.command("add", help=t("announcement.add"))
def add(
    message: Annotated[str, typer.Argument(help=t("announcement.message"), metavar="TEXT")],
    ko: Annotated[str | None, typer.Option("--ko", metavar="TEXT", help=t("announcement.ko"))] = None,
    level: Annotated[NoticeLevel, typer.Option("--level", help=t("announcement.level"), show_default=True)] = "info",
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help=t("announcement.since"))] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help=t("announcement.until"))] = None,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    begins = parse_moment(since) if since is not None else None
    ends = parse_moment(until) if until is not None else None
    text = by_language(message, ko)
    made = with_client(lambda client: client.announcements.create(text, level=level, since=begins, until=ends))
    if json:
        output.dump(made)
    else:
        print(made.id)


@app.command("rm", help=t("announcement.rm"))
def remove(announcement: Annotated[str, typer.Argument(help=t("announcement.id"), metavar="ID")]) -> None:
    """See the catalogue for the help text."""
    with_client(lambda client: client.announcements.delete(announcement))
    print(announcement)


def by_language(message: str, ko: str | None) -> dict[Literal["en", "ko"], str]:
    """A text that is English, unless it is written in Korean letters, and perhaps another one in Korean."""
    if ko is None and any("가" <= letter <= "힣" for letter in message):
        return {"ko": message}
    texts: dict[Literal["en", "ko"], str] = {"en": message} if message else {}
    return texts if ko is None else {**texts, "ko": ko}


def _row(one: Announcement) -> list[str]:
    text = in_language(one.message, language())
    return [one.id, t(f"announcement.level_{one.level}"), show_moment(one.since), show_moment(one.until), text]
