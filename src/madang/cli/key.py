"""`madang key`: signing keys, for machines that must not send a bearer secret."""

from __future__ import annotations

from typing import Annotated

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.completion import key_ids
from madang.cli.i18n import t
from madang.cli.moments import parse_moment, show_moment
from madang.cli.token import Expires, Label, ScopeOption, chosen_scopes, scopes_text

app = typer.Typer(help=t("key.help"), no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]


@app.command("ls", help=t("key.ls"))
def ls(json: Json = False) -> None:
    """See the catalogue for the help text."""
    found = with_client(lambda client: client.keys.list())
    if json:
        output.dump(found)
        return
    columns = [t(f"column.{name}") for name in ("id", "label", "scopes", "created", "expires", "last_used")]
    rows = [
        [
            one.id,
            one.label,
            scopes_text(one.scopes),
            show_moment(one.created_at),
            show_moment(one.expires_at),
            show_moment(one.last_used_at),
        ]
        for one in found
    ]
    output.table(columns, rows, t("key.none"))


@app.command("add", help=t("key.add"))
def add(label: Label, scope: ScopeOption = None, expires: Expires = None, json: Json = False) -> None:
    """See the catalogue for the help text."""
    scopes = chosen_scopes(scope)
    expires_at = None if expires is None else parse_moment(expires)
    made = with_client(lambda client: client.keys.create(label, expires_at=expires_at, scopes=scopes))
    if json:
        output.dump(made)
        return
    print(f"MADANG_KEY={made.id}")
    print(f"MADANG_SECRET={made.secret}")
    output.note(t("key.shown_once"))


@app.command("rm", help=t("key.rm"))
def remove(
    key: Annotated[str, typer.Argument(help=t("key.id"), metavar="ID", autocompletion=key_ids)],
) -> None:
    """See the catalogue for the help text."""
    with_client(lambda client: client.keys.revoke(key))
    print(key)
