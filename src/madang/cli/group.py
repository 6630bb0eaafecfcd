"""`madang group`: resource groups and how they share their nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.completion import group_names
from madang.cli.i18n import t
from madang.domain.durations import format_seconds, parse_seconds
from madang.domain.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from madang.schemas.api import CalendarWindow, GroupAccess, ResourceGroup
    from madang.sdk import AsyncClient

app = typer.Typer(help=t("group.help"), no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]
Name = Annotated[str, typer.Argument(help=t("group.name"), autocompletion=group_names, metavar="GROUP")]

_WEIGHTS: Final = {"weight.": "user_weights", "project-weight.": "project_weights"}
_YES: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@app.command("ls", help=t("group.ls"))
def ls(json: Json = False) -> None:
    """See the catalogue for the help text."""
    groups = with_client(lambda client: client.groups.list())
    if json:
        output.dump(groups)
        return
    columns = [t(f"column.{name}") for name in ("name", "queue", "placement", "nodes", "running", "pending")]
    rows = [
        [
            group.name,
            group.policy.queue,
            group.policy.placement,
            str(len(group.nodes)),
            str(group.running),
            str(group.pending),
        ]
        for group in groups
    ]
    output.table(columns, rows, t("group.none"))


@app.command("show", help=t("group.show"))
def show(name: Name, json: Json = False) -> None:
    """See the catalogue for the help text."""
    group = with_client(lambda client: client.groups.get(name))
    if json:
        output.dump(group)
    else:
        _show(group)


@app.command("set", help=t("group.set"))
def change(
    name: Name,
    settings: Annotated[list[str] | None, typer.Argument(help=t("group.settings"), metavar="SETTING=VALUE...")] = None,
    allow_domain: Annotated[list[str] | None, typer.Option("--allow-domain", help=t("group.allow_domain"))] = None,
    allow_project: Annotated[list[str] | None, typer.Option("--allow-project", help=t("group.allow_project"))] = None,
    allow_user: Annotated[list[str] | None, typer.Option("--allow-user", help=t("group.allow_user"))] = None,
    disallow_domain: Annotated[list[str] | None, typer.Option("--disallow-domain", help=t("group.disallow"))] = None,
    disallow_project: Annotated[list[str] | None, typer.Option("--disallow-project", help=t("group.disallow"))] = None,
    disallow_user: Annotated[list[str] | None, typer.Option("--disallow-user", help=t("group.disallow"))] = None,
    everybody: Annotated[bool, typer.Option("--allow-everybody", help=t("group.allow_everybody"))] = False,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    changes = [_setting(written) for written in settings or []]
    allow = {"domains": allow_domain or [], "projects": allow_project or [], "users": allow_user or []}
    disallow = {"domains": disallow_domain or [], "projects": disallow_project or [], "users": disallow_user or []}
    if everybody and any([*allow.values(), *disallow.values()]):
        raise InvalidInput(t("group.everybody_or_some"))
    opened = Opened(allow, disallow, everybody)
    group = with_client(lambda client: _change(client, name, changes, opened))
    if json:
        output.dump(group)
    else:
        _show(group)


@app.command("rm", help=t("group.rm"))
def remove(name: Name) -> None:
    """See the catalogue for the help text."""
    with_client(lambda client: client.groups.delete(name))
    print(name)


@dataclass(frozen=True)
class Opened:
    """To whom a group shall be opened beside those to whom it is open, and to whom no more."""

    allow: Mapping[str, list[str]]
    disallow: Mapping[str, list[str]]
    everybody: bool

    def access(self, before: GroupAccess | Literal["everybody"] | None) -> GroupAccess | Literal["everybody"] | None:
        """None: as before."""
        from madang.schemas.api import GroupAccess

        if self.everybody:
            return "everybody"
        if not any([*self.allow.values(), *self.disallow.values()]):
            return None
        if not isinstance(before, GroupAccess) and not any(self.allow.values()):
            raise InvalidInput(t("group.open_to_everybody"))
        known = before.model_dump() if isinstance(before, GroupAccess) else {}
        fields = {
            kind: [one for one in dict.fromkeys([*known.get(kind, []), *more]) if one not in self.disallow[kind]]
            for kind, more in self.allow.items()
        }
        return GroupAccess.model_validate(fields)


async def _change(client: AsyncClient, name: str, changes: list[tuple[str, str]], opened: Opened) -> ResourceGroup:
    from madang.schemas.api import GroupPolicy

    before = None
    try:
        group = await client.groups.get(name)
        policy, before = group.policy, group.access
    except NotFound:
        policy = GroupPolicy()  # a new group
    fields = policy.model_dump(mode="json")
    for key, value in changes:
        _apply(fields, key, value)
    return await client.groups.set(name, GroupPolicy.model_validate(fields), opened.access(before))


def _setting(written: str) -> tuple[str, str]:
    key, equals, value = written.partition("=")
    if not equals or not (key in _SETTINGS or key.startswith(tuple(_WEIGHTS))):
        raise InvalidInput(t("group.bad_setting", written=written, known=", ".join([*_SETTINGS, "weight.USER"])))
    return key, value


def _apply(fields: dict[str, object], key: str, value: str) -> None:
    for prefix, name in _WEIGHTS.items():
        if key.startswith(prefix):
            weights = fields[name]
            assert isinstance(weights, dict)  # noqa: S101 - as the model has it
            weights[key.removeprefix(prefix)] = value
            return
    name, read = _SETTINGS[key]
    fields[name] = read(value)


def _bool(value: str) -> bool:
    if value.lower() not in _YES:
        raise InvalidInput(t("group.bad_bool", value=value))
    return _YES[value.lower()]


def _calendar(value: str) -> list[Mapping[str, object]]:
    """`@file.toml` with a list of [[window]], or `none`."""
    import tomllib

    if value == "none":
        return []
    if not value.startswith("@"):
        raise InvalidInput(t("group.bad_calendar", value=value))
    try:
        written = tomllib.loads(Path(value[1:]).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{value[1:]}: {error}") from None
    windows = written.get("window")
    if not isinstance(windows, list) or set(written) != {"window"}:
        raise InvalidInput(t("group.no_windows", path=value[1:]))
    return windows


def _seconds(value: str) -> object:
    return 0 if value == "0" else parse_seconds(value)


_SETTINGS: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = {
    "queue": ("queue", str),
    "placement": ("placement", str),
    "backfill": ("backfill", _bool),
    "aging": ("aging_seconds", _seconds),
    "half-life": ("half_life_days", lambda value: parse_seconds(value) / 86_400),
    "preemption": ("preemption", _bool),
    "grace": ("preemption_grace_seconds", _seconds),
    "timezone": ("timezone", str),
    "calendar": ("calendar", _calendar),
    "reservation-lead": ("reservation_lead_hours", lambda value: parse_seconds(value) / 3600),
}
"""What `set` takes: the field of the policy, and how to read it."""


def _show(group: ResourceGroup) -> None:
    policy = group.policy
    output.fields(
        {
            t("column.name"): group.name,
            t("column.nodes"): ", ".join(group.nodes),
            t("column.running"): str(group.running),
            t("column.pending"): str(group.pending),
            t("group.open_to"): _open_to(group),
            "queue": policy.queue,
            "placement": policy.placement,
            "backfill": _say(policy.backfill),
            "aging": format_seconds(policy.aging_seconds),
            "half-life": format_seconds(policy.half_life_days * 86_400) if policy.queue == "fair-share" else "",
            "preemption": _say(policy.preemption),
            "grace": format_seconds(policy.preemption_grace_seconds) if policy.preemption else "",
            **{f"weight.{user}": f"{weight:g}" for user, weight in policy.user_weights.items()},
            **{f"project-weight.{name}": f"{weight:g}" for name, weight in policy.project_weights.items()},
            "timezone": policy.timezone if policy.calendar else "",
            "calendar": "\n".join(_window(window) for window in policy.calendar),
            "reservation-lead": format_seconds(policy.reservation_lead_hours * 3600),
        }
    )


def _open_to(group: ResourceGroup) -> str:
    """Empty where only administrators may know."""
    access = group.access
    if access is None or access == "everybody":
        return t("group.everybody") if access else ""
    parts = [f"{t('column.domain')} {name}" for name in access.domains]
    parts += [f"{t('column.project')} {name}" for name in access.projects]
    parts += [f"{t('column.user')} {name}" for name in access.users]
    return ", ".join(parts) or t("group.nobody")


def _say(value: bool) -> str:
    return "true" if value else "false"


def _window(window: CalendarWindow) -> str:
    """`day: mon-fri 09:00-18:00, interactive, whole devices`."""
    kinds = ", ".join(window.kinds) or t("group.all_kinds")
    return f"{window.name}: {days(window.days)} {window.start}-{window.end}, {kinds}, {t(f'group.gpus_{window.gpus}')}"


def days(named: Sequence[str]) -> str:
    """`mon-fri, sun`: days that follow each other are joined."""
    from madang.domain.calendar import DAYS

    numbers = sorted({DAYS.index(day) for day in named})
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    written = [DAYS[run[0]] if len(run) == 1 else f"{DAYS[run[0]]}-{DAYS[run[-1]]}" for run in runs]
    return ", ".join(written)
