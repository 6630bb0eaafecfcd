"""`madang doctor`: what of this machine is fine for Madang, and what to do about what is not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from madang.cli import output
from madang.cli.i18n import t

if TYPE_CHECKING:
    from madang.cli.checks import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="doctor", help=t("doctor.help"))(doctor)


def doctor(
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help=t("up.port"))] = None,
    host: Annotated[str | None, typer.Option("--host", help=t("up.host"))] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help=t("up.data_dir"))] = None,
    json: Annotated[bool, typer.Option("--json", help=t("json.help"))] = False,
) -> None:
    """See the catalogue for the help text."""
    from madang.cli.checks import Level, Place, look
    from madang.config import Settings

    settings = Settings()
    place = Place(
        data_dir=(data_dir or settings.data_dir).absolute(),
        host=host or settings.host,
        port=settings.port if port is None else port,
        own_database=bool(os.environ.get("MADANG_DATABASE_URL")),
        mock_gpus=settings.mock_gpus,
    )
    findings = look(place)
    failed = any(finding.level is Level.FAIL for finding in findings)
    if json:
        listed = [
            {"name": one.name, "level": one.level.value, "detail": one.detail, "advice": one.advice} for one in findings
        ]
        output.dump({"can_start": not failed, "checks": listed})
    else:
        _print(findings, failed)
    if failed:
        raise typer.Exit(1)


def _print(findings: list[Finding], failed: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for one in findings:
        table.add_row(t(f"check.name.{one.name}"), Text(one.level.value, _COLOURS[one.level.value]), Text(one.detail))
        if one.advice:
            table.add_row("", "", Text(one.advice, "dim"))
    output.out().print(table)
    output.out().print(t("doctor.cannot_start") if failed else t("doctor.can_start"), markup=False)
