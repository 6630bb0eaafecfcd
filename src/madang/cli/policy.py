"""`madang policy`: limits with a name, laid upon users, projects and domains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.i18n import t
from madang.domain.errors import InvalidInput
from madang.domain.limits import KEYS

if TYPE_CHECKING:
    from madang.schemas.api import Policy
    from madang.sdk import AsyncClient

app = typer.Typer(help=t("policy.help"), no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]
Name = Annotated[str, typer.Argument(help=t("policy.name"), metavar="POLICY")]
Upon = Literal["user", "project", "member", "domain", "domain_user"]

_SLOT: Final = "slots."
_LISTS: Final = ("environments", "groups")


@app.command("ls", help=t("policy.ls"))
def ls(json: Json = False) -> None:
    """See the catalogue for the help text."""
    policies = with_client(lambda client: client.policies.list())
    if json:
        output.dump(policies)
        return
    columns = [t(f"column.{name}") for name in ("name", "limits", "holders")]
    output.table(columns, [[one.name, _limits(one), _holders(one)] for one in policies], t("policy.none"))


@app.command("set", help=t("policy.set"))
def change(
    name: Name,
    settings: Annotated[list[str] | None, typer.Argument(help=t("policy.settings"), metavar="LIMIT=VALUE...")] = None,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    policy = with_client(lambda client: _change(client, name, [_setting(one) for one in settings or []]))
    if json:
        output.dump(policy)
    else:
        output.fields({t("column.name"): policy.name, t("column.limits"): _limits(policy)})


@app.command("rm", help=t("policy.rm"))
def remove(name: Name) -> None:
    """See the catalogue for the help text."""
    with_client(lambda client: client.policies.delete(name))
    print(name)


@app.command("lay", help=t("policy.lay"))
def lay(
    name: Annotated[str, typer.Argument(help=t("policy.lay_name"), metavar="POLICY|none")],
    user: Annotated[str | None, typer.Option("--user", help=t("policy.user"))] = None,
    project: Annotated[str | None, typer.Option("--project", help=t("policy.project"))] = None,
    each_in: Annotated[str | None, typer.Option("--each-in", metavar="PROJECT", help=t("policy.each_in"))] = None,
    domain: Annotated[str | None, typer.Option("--domain", help=t("policy.domain"))] = None,
    each_of: Annotated[str | None, typer.Option("--each-of", metavar="DOMAIN", help=t("policy.each_of"))] = None,
) -> None:
    """See the catalogue for the help text."""
    from madang.schemas.api import PolicyHolder

    given: dict[Upon, str | None] = {
        "user": user,
        "project": project,
        "member": each_in,
        "domain": domain,
        "domain_user": each_of,
    }
    holders = [PolicyHolder(upon=upon, name=who) for upon, who in given.items() if who is not None]
    if not holders:
        raise InvalidInput(t("policy.upon_nobody"))

    async def work(client: AsyncClient) -> None:
        for holder in holders:
            await client.policies.lay(None if name == "none" else name, holder)

    with_client(work)
    print(name)


async def _change(client: AsyncClient, name: str, changes: list[tuple[str, str]]) -> Policy:
    from madang.schemas.api import PolicyLimits

    known = {one.name: one for one in await client.policies.list()}
    fields = known[name].limits.model_dump(exclude_none=True) if name in known else {}
    for key, value in changes:
        if key.startswith(_SLOT):
            slots = fields.setdefault("slots", {})
            if value == "none":
                slots.pop(key.removeprefix(_SLOT), None)
            else:
                slots[key.removeprefix(_SLOT)] = value
        elif value == "none":
            fields.pop(key, None)
        else:
            fields[key] = value.split(",") if key in _LISTS else value
    return await client.policies.set(name, PolicyLimits.model_validate(fields))


def _setting(written: str) -> tuple[str, str]:
    key, equals, value = written.partition("=")
    if not equals or not value or not (key in KEYS[1:] or (key.startswith(_SLOT) and key != _SLOT)):
        raise InvalidInput(t("policy.bad_setting", written=written[:60], known=", ".join(["slots.SLOT", *KEYS[1:]])))
    return key, value


def _limits(policy: Policy) -> str:
    found = policy.limits.model_dump(exclude_none=True)
    slots = found.pop("slots", {})
    parts = [f"{_SLOT}{slot}={amount}" for slot, amount in slots.items()]
    parts += [f"{key}={','.join(value) if isinstance(value, list) else value}" for key, value in found.items()]
    return " ".join(parts) or t("policy.no_limits")


def _holders(policy: Policy) -> str:
    return ", ".join(t(f"policy.upon_{one.upon}", name=one.name) for one in policy.holders or [])
