"""`madang login` and `madang logout`: the way to a server and back."""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from madang.cli import output
from madang.cli.client import run_client
from madang.cli.i18n import t
from madang.domain.errors import (
    InvalidInput,
    PasswordChangeRequired,
    SecondFactorRequired,
    Unauthorized,
    Unavailable,
)

if TYPE_CHECKING:
    from madang.schemas.api import NewToken
    from madang.schemas.sign_in import PasswordSignIn
    from madang.sdk import AsyncClient, Connection


def register(main: typer.Typer) -> None:
    """Add both commands."""
    main.command(name="login", help=t("login.help"))(login)
    main.command(name="logout", help=t("logout.help"))(logout)


def login(
    url: Annotated[str | None, typer.Argument(help=t("login.url"), metavar="[URL]")] = None,
    profile: Annotated[str | None, typer.Option("--profile", help=t("login.profile"))] = None,
    user: Annotated[str | None, typer.Option("--user", help=t("login.user"))] = None,
    token: Annotated[bool, typer.Option("--token", help=t("login.token"))] = False,
    device: Annotated[str | None, typer.Option("--device", metavar="SOURCE", help=t("login.device"))] = None,
) -> None:
    """See the catalogue for the help text."""
    from madang.sdk.connection import Connection, checked_url
    from madang.sdk.finding import find_connection
    from madang.sdk.profiles import change_profiles, read_profiles

    if token and (device or user):
        raise InvalidInput(t("login.one_way"))
    chosen = profile or os.environ.get("MADANG_PROFILE")
    kept = read_profiles()
    if url is None and chosen in kept.profiles:
        url = kept.profiles[chosen].url
    address = checked_url(url or os.environ.get("MADANG_URL") or find_connection().url)
    name = chosen or _name(address)
    kept.having(name, Connection(url=address))  # a bad name is said before anybody types a password
    if token:
        secret = hidden(t("login.token_prompt"), None)
    elif device is not None:
        secret = run_client(Connection(url=address), lambda client: _by_device(client, device))
    else:
        secret = _by_password(Connection(url=address), user)
    connection = Connection(url=address, token=secret)
    me = run_client(connection, lambda client: client.me())
    change_profiles(lambda now: now.having(name, connection))
    output.note(t("login.done", user=me.name, url=address, profile=name))


def logout(
    profile: Annotated[str | None, typer.Option("--profile", help=t("logout.profile"))] = None,
) -> None:
    """See the catalogue for the help text."""
    from madang.sdk.finding import find_named
    from madang.sdk.profiles import change_profiles

    name, connection = find_named(profile=profile)
    if name is None:
        raise InvalidInput(t("logout.nothing"))
    try:
        run_client(connection, lambda client: client.login.leave())
    except Unauthorized:
        pass  # it is no longer good anyway
    except Unavailable:
        output.warn(t("logout.away", url=connection.url))
    change_profiles(lambda kept: kept.without(name))
    print(name)


def _by_password(connection: Connection, user: str | None) -> str:
    """A token for name and password, with whatever else the server asks for."""
    from madang.schemas.sign_in import PasswordSignIn

    name = user or shown(t("login.user_prompt"), "--user")
    asked = PasswordSignIn(name=name, password=hidden(t("login.password_prompt"), "MADANG_PASSWORD"), label=_label())
    while True:
        try:
            return run_client(connection, partial(_send, asked=asked)).token
        except SecondFactorRequired as error:
            if asked.code is not None:
                output.fail(error.message)
            asked = asked.model_copy(update={"code": shown(t("login.code_prompt"), None)})
        except PasswordChangeRequired as error:
            output.note(error.message)
            asked = _replaced(asked)


async def _send(client: AsyncClient, asked: PasswordSignIn) -> NewToken:
    return await client.login.password(asked)


def _replaced(asked: PasswordSignIn) -> PasswordSignIn:
    new = hidden(t("login.new_password_prompt"), "MADANG_NEW_PASSWORD")
    if "MADANG_NEW_PASSWORD" not in os.environ and new != hidden(t("login.again_prompt"), None):
        raise InvalidInput(t("login.not_the_same"))
    return asked.model_copy(update={"new_password": new})


async def _by_device(client: AsyncClient, source: str) -> str:
    from madang.schemas.openid import DevicePending

    begun = await client.login.device(source)
    output.note(t("login.device_open", uri=begun.verification_uri, code=begun.user_code))
    if begun.verification_uri_complete:
        output.note(begun.verification_uri_complete)
    until = time.monotonic() + begun.expires_in
    handle, interval = begun.handle, begun.interval
    while time.monotonic() < until:
        await asyncio.sleep(interval)
        answer = await client.login.poll(source, handle, _label())
        if not isinstance(answer, DevicePending):
            return answer.token
        handle, interval = answer.handle, answer.interval
    raise Unauthorized(t("login.device_late"))


def shown(prompt: str, option: str | None) -> str:
    """What somebody types at a terminal."""
    if not sys.stdin.isatty():
        raise InvalidInput(t("login.no_terminal", prompt=prompt, option=option or "--token"))
    return input(f"{prompt}: ").strip()


def hidden(prompt: str, variable: str | None) -> str:
    """A secret: from a variable, typed without being shown, or the first line of standard input."""
    if variable is not None and variable in os.environ:
        return os.environ[variable]
    if sys.stdin.isatty():
        return getpass.getpass(f"{prompt}: ").strip()
    line = sys.stdin.readline().strip()
    if not line:
        raise InvalidInput(t("login.no_terminal", prompt=prompt, option=variable or "--token"))
    return line


def _label() -> str:
    return f"madang login, {socket.gethostname()}"[:80]


def _name(url: str) -> str:
    parts = urlsplit(url)
    host = (parts.hostname or "server").replace(":", "-")
    return f"{host}-{parts.port}" if parts.port is not None else host
