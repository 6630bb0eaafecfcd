"""`madang reservation`: room of a group that is kept for some users at some times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from madang.cli import output
from madang.cli.asking import DEFAULT_GROUP, Gpu, GpuModel, Group, gpu_slots, parse_slots
from madang.cli.client import with_client
from madang.cli.completion import reservation_names
from madang.cli.group import days as days_text
from madang.cli.i18n import t
from madang.cli.moments import local_zone, parse_moment, show_moment
from madang.domain.errors import InvalidInput

if TYPE_CHECKING:
    from datetime import datetime

    from madang.schemas.api import Day, Reservation
    from madang.sdk import AsyncClient

app = typer.Typer(help=t("reservation.help"), no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]


@app.command("ls", help=t("reservation.ls"))
def ls(json: Json = False) -> None:
    """See the catalogue for the help text."""
    reservations = with_client(lambda client: client.reservations.list())
    if json:
        output.dump(reservations)
        return
    columns = [t(f"column.{name}") for name in ("name", "group", "slots", "users", "when", "next")]
    rows = [
        [one.name, one.resource_group, _slots(one), ", ".join(one.users), _when(one), _next(one)]
        for one in reservations
    ]
    output.table(columns, rows, t("reservation.none"))


@app.command("add", help=t("reservation.add"))
def add(
    name: Annotated[str, typer.Argument(help=t("reservation.name"), metavar="NAME")],
    user: Annotated[list[str], typer.Option("--user", help=t("reservation.user"))],
    cpu: Annotated[str | None, typer.Option("--cpu", help=t("reservation.cpu"))] = None,
    mem: Annotated[str | None, typer.Option("--mem", help=t("reservation.mem"))] = None,
    gpu: Gpu = None,
    gpu_model: GpuModel = None,
    slot: Annotated[list[str] | None, typer.Option("--slot", metavar="NAME=AMOUNT", help=t("run.slot"))] = None,
    group: Group = DEFAULT_GROUP,
    days: Annotated[str | None, typer.Option("--days", metavar="DAYS", help=t("reservation.days"))] = None,
    start: Annotated[str | None, typer.Option("--from", metavar="HH:MM", help=t("reservation.from"))] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="HH:MM", help=t("reservation.to"))] = None,
    timezone: Annotated[str | None, typer.Option("--timezone", help=t("reservation.timezone"))] = None,
    starts_at: Annotated[str | None, typer.Option("--starts-at", metavar="TIME", help=t("reservation.starts"))] = None,
    ends_at: Annotated[str | None, typer.Option("--ends-at", metavar="TIME", help=t("reservation.ends"))] = None,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    starts = parse_moment(starts_at) if starts_at is not None else None
    ends = _end(ends_at, starts) if ends_at is not None else None
    slots = parse_slots(slot or []) | ({"cpu": cpu} if cpu else {}) | ({"mem": mem} if mem else {})

    async def create(client: AsyncClient) -> Reservation:
        from madang.domain.devices import parse_models

        kept = {**slots, **(await gpu_slots(client, gpu, group) if gpu is not None else {})}
        return await client.reservations.create(
            name,
            slots=kept,
            users=user,
            resource_group=group,
            models=parse_models(gpu_model) if gpu_model is not None else (),
            days=_days(days) if days is not None else [],
            start=start,
            end=end,
            timezone=timezone or local_zone(),
            starts_at=starts,
            ends_at=ends,
        )

    made = with_client(create)
    if json:
        output.dump(made)
    else:
        print(made.name)


@app.command("rm", help=t("reservation.rm"))
def remove(
    name: Annotated[
        str, typer.Argument(help=t("reservation.name"), autocompletion=reservation_names, metavar="RESERVATION")
    ],
) -> None:
    """See the catalogue for the help text."""
    with_client(lambda client: client.reservations.delete(name))
    print(name)


def _end(written: str, starts: datetime | None) -> datetime:
    """`+3h` counts from the start."""
    return parse_moment(written, starts if written.strip().startswith("+") else None)


def _days(written: str) -> list[Day]:
    """`mon-fri,sun`; raises InvalidInput."""
    from madang.domain.calendar import DAYS

    found: list[str] = []
    for part in written.lower().split(","):
        first, dash, last = part.strip().partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise InvalidInput(t("reservation.bad_days", written=written))
        start, end = DAYS.index(first), DAYS.index(last) if dash else DAYS.index(first)
        found += [DAYS[number % 7] for number in range(start, end + 1 if end >= start else end + 8)]
    return cast("list[Day]", list(dict.fromkeys(found)))


def _slots(one: Reservation) -> str:
    models = f" ({'|'.join(one.models)})" if one.models else ""
    return output.slots(one.slots) + models


def _when(one: Reservation) -> str:
    if one.days:
        return f"{days_text(one.days)} {one.start}-{one.end} {one.timezone}"
    return t("reservation.once")


def _next(one: Reservation) -> str:
    if one.next_start is None:
        return t("reservation.over")
    return f"{show_moment(one.next_start)} - {show_moment(one.next_end)}"
