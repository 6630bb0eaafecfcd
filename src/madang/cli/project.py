"""`madang project`: teams, and who is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.domain import Active, active_text
from madang.cli.i18n import t
from madang.domain.errors import Forbidden
from madang.domain.people import ProjectRole

if TYPE_CHECKING:
    from madang.schemas.money import Spending
    from madang.schemas.people import Project
    from madang.sdk import AsyncClient

app = typer.Typer(help=t("project.help"), no_args_is_help=True, rich_markup_mode=None)
members = typer.Typer(help=t("member.help"), no_args_is_help=True, rich_markup_mode=None)
app.add_typer(members, name="member")
Path = Annotated[str, typer.Argument(help=t("project.name"), metavar="[DOMAIN/]PROJECT")]
Somebody = Annotated[str, typer.Argument(help=t("user.name"), metavar="USER")]
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]


@app.command("ls", help=t("project.ls"))
def ls(
    domain: Annotated[str | None, typer.Option("--domain", help=t("domain.name"))] = None, json: Json = False
) -> None:
    """See the catalogue for the help text."""
    found = with_client(lambda client: client.projects.list(domain))
    if json:
        output.dump(found)
        return
    columns = [t(f"column.{name}") for name in ("project", "title", "active", "members")]
    rows = [[one.project, one.title, active_text(one.active), str(one.members)] for one in found]
    output.table(columns, rows, t("project.none"))


@app.command("show", help=t("project.show"))
def show(path: Path, json: Json = False) -> None:
    """See the catalogue for the help text."""

    async def work(client: AsyncClient) -> tuple[Project, Spending | None]:
        found = await client.projects.get(path)
        try:
            return found, await client.budgets.get(path)
        except Forbidden:
            return found, None

    project, spending = with_client(work)
    _print(project, json)
    if spending is not None and not json:
        output.fields({t("column.this_month"): _spent(spending)})


@app.command("budget", help=t("budget.help"))
def budget(
    path: Path,
    amount: Annotated[str | None, typer.Option("--amount", help=t("budget.amount"))] = None,
    warn: Annotated[int | None, typer.Option("--warn", metavar="PERCENT", help=t("budget.warn"))] = None,
    stop: Annotated[
        Literal["none", "no-new-sessions", "stop-running"] | None, typer.Option("--stop", help=t("budget.stop"))
    ] = None,
    grace: Annotated[float | None, typer.Option("--grace", metavar="SECONDS", help=t("budget.grace"))] = None,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    given = {"amount": amount, "warn_percent": warn, "stop": stop, "grace_seconds": grace}
    changes = {name: value for name, value in given.items() if value is not None}

    async def work(client: AsyncClient) -> Spending:
        from madang.schemas.money import Budget

        if amount == "none":
            await client.budgets.remove(path)
        elif changes:
            before = (await client.budgets.get(path)).budget
            fields = {} if before is None else before.model_dump()
            return await client.budgets.set(path, Budget.model_validate(fields | changes))
        return await client.budgets.get(path)

    spending = with_client(work)
    if json:
        output.dump(spending)
    else:
        output.fields({t("column.project"): spending.project, t("column.this_month"): _spent(spending)})


def _spent(spending: Spending) -> str:
    rule = spending.budget
    if rule is None:
        return t("budget.spent", spent=spending.spent, currency=spending.currency)
    return t(
        "budget.spent_of",
        spent=spending.spent,
        amount=rule.amount,
        currency=spending.currency,
        percent=f"{spending.percent or 0:.0f}",
        stop=rule.stop,
    )


@app.command("add", help=t("project.add"))
def add(
    path: Path,
    title: Annotated[str, typer.Option("--title", help=t("people.title"))] = "",
    owner: Annotated[str | None, typer.Option("--owner", help=t("project.owner"))] = None,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    _print(with_client(lambda client: client.projects.create(path, title=title, owner=owner)), json)


@app.command("set", help=t("project.set"))
def change(
    path: Path,
    title: Annotated[str | None, typer.Option("--title", help=t("people.title"))] = None,
    active: Active = None,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    _print(with_client(lambda client: client.projects.update(path, title=title, active=active)), json)


@app.command("rm", help=t("project.rm"))
def remove(path: Path) -> None:
    """See the catalogue for the help text."""
    with_client(lambda client: client.projects.delete(path))
    print(path)


@members.command("ls", help=t("member.ls"))
def list_members(path: Path, json: Json = False) -> None:
    """See the catalogue for the help text."""
    found = with_client(lambda client: client.projects.members(path))
    if json:
        output.dump(found)
        return
    from madang.cli.moments import show_moment

    columns = [t(f"column.{name}") for name in ("user", "full_name", "role", "expires")]
    output.table(columns, [[one.user, one.full_name, one.role, show_moment(one.expires_at)] for one in found], "")


@members.command("add", help=t("member.add"))
def add_member(
    path: Path,
    user: Somebody,
    role: Annotated[ProjectRole, typer.Option("--role", help=t("member.role"))] = ProjectRole.MEMBER,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help=t("member.until"))] = None,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    from madang.cli.moments import parse_moment

    ends = parse_moment(until) if until is not None else None
    made = with_client(lambda client: client.projects.set_member(path, user, role, expires_at=ends))
    if json:
        output.dump(made)
    else:
        print(f"{made.user} {made.role}")


@members.command("rm", help=t("member.rm"))
def remove_member(path: Path, user: Somebody) -> None:
    """See the catalogue for the help text."""
    with_client(lambda client: client.projects.remove_member(path, user))
    print(user)


def _print(project: Project, json: bool) -> None:
    if json:
        output.dump(project)
        return
    output.fields(
        {
            t("column.project"): project.project,
            t("column.domain"): project.domain,
            t("column.title"): project.title,
            t("column.active"): active_text(project.active),
            t("column.members"): str(project.members),
        }
    )
