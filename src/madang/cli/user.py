"""`madang user`: the accounts of people; and `madang whoami`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.domain import Active, active_text
from madang.cli.i18n import t

if TYPE_CHECKING:
    from madang.schemas.people import User
    from madang.sdk import AsyncClient

app = typer.Typer(help=t("user.help"), no_args_is_help=True, rich_markup_mode=None)
Name = Annotated[str, typer.Argument(help=t("user.name"), metavar="USER")]
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]
InDomain = Annotated[str | None, typer.Option("--domain", help=t("domain.name"))]


class RoleOption(StrEnum):
    """What somebody is on the platform."""

    ADMIN = "admin"
    DOMAIN_ADMIN = "domain_admin"
    USER = "user"


class SessionsOption(StrEnum):
    """What becomes of the sessions of somebody who is deleted."""

    REFUSE = "refuse"
    STOP_AND_DELETE = "stop-and-delete"


def register(main: typer.Typer) -> None:
    """Add `madang whoami`."""
    main.command(name="whoami", help=t("whoami.help"))(whoami)


@app.command("ls", help=t("user.ls"))
def ls(domain: InDomain = None, json: Json = False) -> None:
    """See the catalogue for the help text."""

    async def work(client: AsyncClient) -> list[User]:
        return [one async for one in client.users.list(domain)]

    found = with_client(work)
    if json:
        output.dump(found)
        return
    columns = [t(f"column.{name}") for name in ("name", "full_name", "domain", "role", "active", "projects")]
    rows = [[one.name, one.full_name, one.domain, one.role, active_text(one.active), _projects(one)] for one in found]
    output.table(columns, rows, "")


@app.command("show", help=t("user.show"))
def show(name: Name, json: Json = False) -> None:
    """See the catalogue for the help text."""
    _print(with_client(lambda client: client.users.get(name)), json)


@app.command("add", help=t("user.add"))
def add(
    name: Name,
    full_name: Annotated[str, typer.Option("--full-name", help=t("user.full_name"))] = "",
    email: Annotated[str, typer.Option("--email", help=t("user.email"))] = "",
    role: Annotated[RoleOption, typer.Option("--role", help=t("user.role"))] = RoleOption.USER,
    domain: InDomain = None,
    project: Annotated[list[str] | None, typer.Option("--project", help=t("user.project"))] = None,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    made = with_client(
        lambda client: client.users.create(
            name, full_name=full_name, email=email, role=role.value, domain=domain, projects=project or None
        )
    )
    _print(made, json)


@app.command("set", help=t("user.set"))
def change(
    name: Name,
    full_name: Annotated[str | None, typer.Option("--full-name", help=t("user.full_name"))] = None,
    email: Annotated[str | None, typer.Option("--email", help=t("user.email"))] = None,
    role: Annotated[RoleOption | None, typer.Option("--role", help=t("user.role"))] = None,
    active: Active = None,
    domain: InDomain = None,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    from madang.schemas.people import UserUpdate

    wanted = UserUpdate(
        full_name=full_name, email=email, role=role.value if role is not None else None, active=active, domain=domain
    )
    _print(with_client(lambda client: client.users.update(name, wanted)), json)


@app.command("link", help=t("user.link"))
def link(
    name: Name,
    source: Annotated[str, typer.Argument(help=t("user.source"), metavar="SOURCE")],
    subject: Annotated[str, typer.Argument(help=t("user.subject"), metavar="SUBJECT")],
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    from madang.schemas.people import UserUpdate

    wanted = UserUpdate(source=source, subject=subject)
    _print(with_client(lambda client: client.users.update(name, wanted)), json)


@app.command("unlink", help=t("user.unlink"))
def unlink(name: Name, json: Json = False) -> None:
    """See the catalogue for the help text."""
    from madang.schemas.people import UserUpdate

    wanted = UserUpdate(source="", subject="")
    _print(with_client(lambda client: client.users.update(name, wanted)), json)


@app.command("rm", help=t("user.rm"))
def remove(
    name: Name,
    sessions: Annotated[SessionsOption, typer.Option("--sessions", help=t("user.sessions"))] = SessionsOption.REFUSE,
) -> None:
    """See the catalogue for the help text."""
    with_client(lambda client: client.users.delete(name, sessions=sessions.value))
    print(name)


def whoami(json: Json = False) -> None:
    """See the catalogue for the help text."""
    from madang.sdk.finding import find_named

    me = with_client(lambda client: client.me())
    if json:
        output.dump(me)
        return
    profile, connection = find_named()
    output.fields(
        {
            t("column.server"): connection.url,
            t("column.profile"): profile or "",
            t("column.name"): me.name,
            t("column.role"): me.role,
            t("column.projects"): ", ".join(f"{one.project} ({one.role})" for one in me.projects),
            t("column.scopes"): ", ".join(me.scopes) if me.scopes is not None else "",
        }
    )


def _projects(user: User) -> str:
    return ", ".join(f"{one.project} ({one.role})" for one in user.projects)


def _print(user: User, json: bool) -> None:
    if json:
        output.dump(user)
        return
    output.fields(
        {
            t("column.name"): user.name,
            t("column.full_name"): user.full_name,
            t("column.email"): user.email,
            t("column.domain"): user.domain,
            t("column.role"): user.role,
            t("column.source"): user.source,
            t("column.active"): active_text(user.active),
            t("column.projects"): _projects(user),
        }
    )
