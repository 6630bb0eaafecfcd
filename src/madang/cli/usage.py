"""`madang usage`: who held how much, and for how long."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.i18n import t
from madang.cli.moments import local_zone

if TYPE_CHECKING:
    from madang.schemas.api import UsageReport, UsageRow

_HOUR = 3600
_GIB = 1 << 30


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("usage", help=t("usage.help"))(usage)


def usage(
    month: Annotated[str | None, typer.Option("--month", metavar="2026-11", help=t("usage.month"))] = None,
    by: Annotated[Literal["session", "user", "project", "domain"], typer.Option("--by", help=t("usage.by"))] = "user",
    timezone: Annotated[str | None, typer.Option("--timezone", help=t("usage.timezone"))] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help=t("audit.csv"))] = False,
    json: Annotated[bool, typer.Option("--json", help=t("json.help"))] = False,
) -> None:
    """See the catalogue for the help text."""
    zone = timezone or local_zone()
    report = with_client(lambda client: client.usage.report(by, month=month, timezone=zone))
    if json:
        output.dump(report)
    elif as_csv:
        _write(report)
    else:
        columns = [
            t("column.name"),
            *(t(f"column.{name}") for name in ("cpu_hours", "mem_hours", "gpu_hours", "models", "cost")),
        ]
        output.table(columns, [_row(one, report.currency) for one in report.rows], t("usage.none"))


def _row(row: UsageRow, currency: str) -> list[str]:
    cpu = row.slot_seconds.get("cpu", 0) / 1000 / _HOUR
    mem = row.slot_seconds.get("mem", 0) / _GIB / _HOUR
    models = ", ".join(f"{one.model or one.kind} {one.hours:.2f}" for one in row.device_hours)
    return [row.name, f"{cpu:.2f}", f"{mem:.2f}", f"{row.gpu_hours:.2f}", models, f"{row.cost} {currency}"]


def _write(report: UsageReport) -> None:
    slots = sorted({slot for row in report.rows for slot in row.slot_seconds})
    models = sorted({(one.kind, one.model) for row in report.rows for one in row.device_hours})
    writer = csv.writer(sys.stdout)
    titles = [f"{slot} seconds" for slot in slots] + [f"{kind} {model} hours" for kind, model in models]
    writer.writerow([report.by, "since", "until", "cost", "currency", "gpu hours", *titles])
    for row in report.rows:
        hours = {(one.kind, one.model): one.hours for one in row.device_hours}
        writer.writerow(
            [
                output.plain(row.name),
                report.since.isoformat(),
                report.until.isoformat(),
                row.cost,
                output.plain(report.currency),
                row.gpu_hours,
                *(row.slot_seconds.get(slot, 0) for slot in slots),
                *(hours.get(model, 0) for model in models),
            ]
        )
