"""`madang token`: access tokens for programs and other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.i18n import t
from madang.cli.moments import parse_moment, show_moment
from madang.domain.errors import InvalidInput
from madang.domain.rights import Scope

if TYPE_CHECKING:
    from madang.schemas.api import Token

app = typer.Typer(help=t("token.help"), no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]


@app.command("ls", help=t("token.ls"))
def ls(json: Json = False) -> None:
    """See the catalogue for the help text."""
    tokens = with_client(lambda client: client.tokens.list())
    if json:
        output.dump(tokens)
        return
    columns = [t(f"column.{name}") for name in ("id", "label", "scopes", "created", "expires", "last_used")]
    rows = [
        [
            one.id,
            one.label,
            _scopes(one),
            show_moment(one.created_at),
            show_moment(one.expires_at),
            show_moment(one.last_used_at),
        ]
        for one in tokens
    ]
    output.table(columns, rows, t("token.none"))


@app.command("add", help=t("token.add"))
def add(
    label: Annotated[str, typer.Argument(help=t("token.label"), metavar="LABEL")],
    scope: Annotated[list[str] | None, typer.Option("--scope", help=t("token.scope"))] = None,
    expires: Annotated[str | None, typer.Option("--expires", metavar="TIME", help=t("token.expires"))] = None,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    scopes = None if not scope else [_scope(one) for one in scope]
    expires_at = None if expires is None else parse_moment(expires)
    made = with_client(lambda client: client.tokens.create(label, expires_at=expires_at, scopes=scopes))
    if json:
        output.dump(made)
    else:
        print(made.token)
        output.note(t("token.shown_once"))


@app.command("rm", help=t("token.rm"))
def remove(token_id: Annotated[str, typer.Argument(help=t("token.id"), metavar="ID")]) -> None:
    """See the catalogue for the help text."""
    with_client(lambda client: client.tokens.revoke(token_id))
    print(token_id)


def _scope(written: str) -> Scope:
    try:
        return Scope(written)
    except ValueError:
        raise InvalidInput(t("token.bad_scope", written=written[:40], known=", ".join(Scope))) from None


def _scopes(token: Token) -> str:
    return t("token.everything") if token.scopes is None else ", ".join(token.scopes)
