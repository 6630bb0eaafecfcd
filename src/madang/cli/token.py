"""`madang token`: access tokens for programs and other machines, one's own and those of projects."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.completion import project_names
from madang.cli.i18n import t
from madang.cli.moments import parse_moment, show_moment
from madang.domain.errors import InvalidInput
from madang.domain.rights import Scope

if TYPE_CHECKING:
    from madang.schemas.api import NewToken, Token
    from madang.schemas.machines import NewProjectToken
    from madang.sdk import AsyncClient

app = typer.Typer(help=t("token.help"), no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]
Label = Annotated[str, typer.Argument(help=t("token.label"), metavar="LABEL")]
ScopeOption = Annotated[list[str] | None, typer.Option("--scope", help=t("token.scope"))]
Expires = Annotated[str | None, typer.Option("--expires", metavar="TIME", help=t("token.expires"))]
Project = Annotated[
    str | None,
    typer.Option("--project", metavar="[DOMAIN/]PROJECT", help=t("token.project"), autocompletion=project_names),
]


class RoleOption(StrEnum):
    """What the robot of a project's token is there."""

    VIEWER = "viewer"
    MEMBER = "member"
    MAINTAINER = "maintainer"


@app.command("ls", help=t("token.ls"))
def ls(project: Project = None, json: Json = False) -> None:
    """See the catalogue for the help text."""

    async def work(client: AsyncClient) -> Sequence[Token]:
        return await (client.tokens.list() if project is None else client.project_tokens.list(project))

    tokens = with_client(work)
    if json:
        output.dump(tokens)
        return
    columns = [t(f"column.{name}") for name in ("id", "kind", "label", "scopes", "created", "expires", "last_used")]
    if project is not None:
        columns += [t("column.user"), t("column.role")]
    output.table(columns, [_row(one) for one in tokens], t("token.none"))


def _row(token: Token) -> list[str]:
    from madang.schemas.machines import ProjectToken

    cells = [token.id, token.kind, token.label, scopes_text(token.scopes)]
    cells += [show_moment(moment) for moment in (token.created_at, token.expires_at, token.last_used_at)]
    return [*cells, token.user, token.role] if isinstance(token, ProjectToken) else cells


@app.command("add", help=t("token.add"))
def add(
    label: Label,
    scope: ScopeOption = None,
    expires: Expires = None,
    project: Project = None,
    role: Annotated[RoleOption | None, typer.Option("--role", help=t("token.role"))] = None,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    if role is not None and project is None:
        raise InvalidInput(t("token.role_of_project"))
    scopes = chosen_scopes(scope)
    expires_at = None if expires is None else parse_moment(expires)

    async def work(client: AsyncClient) -> NewToken | NewProjectToken:
        if project is None:
            return await client.tokens.create(label, expires_at=expires_at, scopes=scopes)
        what = RoleOption.MEMBER if role is None else role
        return await client.project_tokens.create(project, label, role=what.value, expires_at=expires_at, scopes=scopes)

    made = with_client(work)
    if json:
        output.dump(made)
    else:
        print(made.token)
        output.note(t("token.shown_once"))


@app.command("rm", help=t("token.rm"))
def remove(token_id: Annotated[str, typer.Argument(help=t("token.id"), metavar="ID")], project: Project = None) -> None:
    """See the catalogue for the help text."""

    async def work(client: AsyncClient) -> None:
        if project is None:
            await client.tokens.revoke(token_id)
        else:
            await client.project_tokens.revoke(project, token_id)

    with_client(work)
    print(token_id)


def chosen_scopes(written: list[str] | None) -> list[Scope] | None:
    """What --scope says. Raises InvalidInput."""
    return None if not written else [_scope(one) for one in written]


def scopes_text(scopes: Sequence[Scope] | None) -> str:
    """For people."""
    return t("token.everything") if scopes is None else ", ".join(scopes)


def _scope(written: str) -> Scope:
    try:
        return Scope(written)
    except ValueError:
        raise InvalidInput(t("token.bad_scope", written=written[:40], known=", ".join(Scope))) from None
