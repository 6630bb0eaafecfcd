"""`madang session share|unshare`: let others look at a session, or use it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.completion import session_names
from madang.cli.i18n import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from madang.schemas.people import Share
    from madang.sdk import AsyncClient

Ref = Annotated[str, typer.Argument(help=t("session.ref"), autocompletion=session_names, metavar="SESSION")]
User = Annotated[str | None, typer.Option("--user", help=t("share.user"))]
Project = Annotated[str | None, typer.Option("--project", metavar="[DOMAIN/]PROJECT", help=t("share.project"))]
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]


class Level(StrEnum):
    """How far."""

    VIEW = "view"
    USE = "use"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(name="share", help=t("share.help"))(share)
    app.command(name="unshare", help=t("share.unshare"))(unshare)


def share(
    ref: Ref,
    user: User = None,
    project: Project = None,
    level: Annotated[Level, typer.Option("--level", help=t("share.level"))] = Level.VIEW,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""

    async def work(client: AsyncClient) -> Sequence[Share]:
        if user is not None or project is not None:
            await client.sharing.share(ref, user=user, project=project, level=level.value)
        return await client.sharing.list(ref)

    found = with_client(work)
    if json:
        output.dump(found)
        return
    columns = [t(f"column.{name}") for name in ("user", "project", "level")]
    output.table(columns, [[one.user or "", one.project or "", one.level] for one in found], t("share.none"))


def unshare(ref: Ref, user: User = None, project: Project = None) -> None:
    """See the catalogue for the help text."""
    with_client(lambda client: client.sharing.unshare(ref, user=user, project=project))
    print(user or project)
