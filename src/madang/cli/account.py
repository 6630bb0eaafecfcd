"""`madang account`: your password and second factor; `madang user password` and the like for administrators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from madang.cli import output
from madang.cli.client import run_client, with_client
from madang.cli.i18n import t
from madang.cli.login import hidden, shown
from madang.cli.moments import show_moment
from madang.domain.errors import InvalidInput, SecondFactorRequired

if TYPE_CHECKING:
    from madang.sdk import AsyncClient

app = typer.Typer(help=t("account.help"), no_args_is_help=True, rich_markup_mode=None)
User = Annotated[str, typer.Argument(help=t("user.name"), metavar="USER")]
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]
LinkArgument = Annotated[str, typer.Argument(help=t("account.link_text"), metavar="LINK")]
ServerOption = Annotated[str | None, typer.Option("--server", metavar="URL", help=t("account.server"))]


def register(users: typer.Typer) -> None:
    """Add what administrators do, to `madang user`."""
    users.command("password", help=t("user.password"))(reset)
    users.command("no-second-factor", help=t("user.no_second_factor"))(no_second_factor)


@app.command("show", help=t("account.show"))
def show(json: Json = False) -> None:
    """See the catalogue for the help text."""
    found = with_client(lambda client: client.account.get())
    if json:
        output.dump(found)
        return
    factor = t("account.factor_on", codes=found.recovery_codes) if found.second_factor else t("people.no")
    output.fields(
        {
            t("column.name"): found.name,
            t("column.full_name"): found.full_name,
            t("column.email"): found.email,
            t("column.domain"): found.domain,
            t("column.source"): found.source,
            t("column.password"): "" if found.source else t("people.yes") if found.password else t("people.no"),
            t("column.second_factor"): "" if found.source else factor,
            t("column.last_sign_in"): show_moment(found.last_sign_in_at),
        }
    )


@app.command("password", help=t("account.password"))
def password(
    sign_out_others: Annotated[bool, typer.Option("--sign-out-others", help=t("account.sign_out_others"))] = False,
) -> None:
    """See the catalogue for the help text."""
    old = hidden(t("account.old_password"), "MADANG_PASSWORD")
    new = hidden(t("login.new_password_prompt"), "MADANG_NEW_PASSWORD")

    async def change(client: AsyncClient, code: str | None) -> None:
        await client.account.change_password(old, new, code=code, sign_out_others=sign_out_others)

    try:
        with_client(partial(change, code=None))
    except SecondFactorRequired:
        with_client(partial(change, code=shown(t("login.code_prompt"), None)))
    output.note(t("account.password_changed"))


@app.command("second-factor", help=t("account.second_factor"))
def second_factor(off: Annotated[bool, typer.Option("--off", help=t("account.second_factor_off"))] = False) -> None:
    """See the catalogue for the help text."""
    secret = hidden(t("account.old_password"), "MADANG_PASSWORD")
    if off:
        with_client(lambda client: client.account.remove_second_factor(password=secret))
        output.note(t("account.factor_removed"))
        return
    begun = with_client(lambda client: client.account.begin_second_factor(secret))
    print(begun.uri)
    output.note(t("account.enrol", secret=begun.secret))
    code = shown(t("login.code_prompt"), None)
    done = with_client(lambda client: client.account.confirm_second_factor(begun.enrolment, code))
    print("\n".join(done.recovery_codes))
    output.note(t("account.recovery_codes"))


@app.command("forgot", help=t("account.forgot"))
def forgot(name: User, server: ServerOption = None) -> None:
    """See the catalogue for the help text."""
    _at(server, lambda client: client.account.ask_link(name))
    output.note(t("account.link_sent"))


@app.command("link", help=t("account.link"))
def use_link(link: LinkArgument) -> None:
    """See the catalogue for the help text."""
    from madang.sdk.connection import Connection, checked_url

    base, _, page = link.partition("#")[0].rpartition("/")
    if not base.startswith(("http://", "https://")):
        raise InvalidInput(t("account.whole_link"))
    connection = Connection(url=checked_url(base))
    if page == "sign-up":
        made = run_client(connection, lambda client: client.account.confirm_sign_up(link))
        output.note(t("account.signed_up", name=made.name))
        return
    new = hidden(t("login.new_password_prompt"), "MADANG_NEW_PASSWORD")
    run_client(connection, lambda client: client.account.use_link(link, new))
    output.note(t("account.password_changed"))


@app.command("sign-up", help=t("account.sign_up"))
def sign_up(
    name: User,
    email: Annotated[str, typer.Option("--email", help=t("user.email"))],
    full_name: Annotated[str, typer.Option("--full-name", help=t("user.full_name"))] = "",
    server: ServerOption = None,
) -> None:
    """See the catalogue for the help text."""
    new = hidden(t("login.new_password_prompt"), "MADANG_NEW_PASSWORD")
    _at(server, lambda client: client.account.sign_up(name, email, new, full_name=full_name))
    output.note(t("account.link_sent"))


def reset(
    name: User,
    link: Annotated[bool, typer.Option("--link", help=t("user.password_link"))] = False,
    sign_out: Annotated[bool, typer.Option("--sign-out", help=t("user.sign_out"))] = False,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    if link and sign_out:
        raise InvalidInput(t("user.link_or_sign_out"))
    if link:
        made = with_client(lambda client: client.users.password_link(name))
        output.dump(made) if json else print(made.link)
        output.note(t("user.link_shown_once", until=show_moment(made.expires_at)))
        return
    first = with_client(lambda client: client.users.reset_password(name, sign_out=sign_out))
    output.dump(first) if json else print(first.password)
    output.note(t("user.password_shown_once"))


def no_second_factor(name: User) -> None:
    """See the catalogue for the help text."""
    with_client(lambda client: client.users.remove_second_factor(name))
    print(name)


def _at(server: str | None, work: Callable[[AsyncClient], Awaitable[None]]) -> None:
    from madang.sdk.connection import Connection, checked_url
    from madang.sdk.finding import find_connection

    run_client(Connection(url=checked_url(server or find_connection().url)), work)
