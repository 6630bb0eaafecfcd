"""`madang audit`: who changed what."""

from __future__ import annotations

import csv
import json as jsonlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.i18n import t
from madang.cli.moments import parse_moment, show_moment

if TYPE_CHECKING:
    from madang.schemas.api import AuditEntry
    from madang.sdk import AsyncClient

_COLUMNS = ("at", "actor", "action", "target", "target_id", "address", "credential", "before", "after")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit", help=t("audit.help"))(audit)


def audit(
    actor: Annotated[str | None, typer.Option("--actor", metavar="USER", help=t("audit.actor"))] = None,
    action: Annotated[str | None, typer.Option("--action", help=t("audit.action"))] = None,
    target: Annotated[str | None, typer.Option("--target", help=t("audit.target"))] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help=t("audit.since"))] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help=t("audit.until"))] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help=t("audit.limit"))] = 100,
    retention: Annotated[bool, typer.Option("--retention", help=t("audit.retention"))] = False,
    keep: Annotated[float | None, typer.Option("--keep", metavar="DAYS", min=0, help=t("audit.keep"))] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help=t("audit.csv"))] = False,
    json: Annotated[bool, typer.Option("--json", help=t("json.help"))] = False,
) -> None:
    """See the catalogue for the help text."""
    if retention or keep is not None:
        _retention(keep, json)
        return

    async def read(client: AsyncClient) -> list[AuditEntry]:
        found: list[AuditEntry] = []
        entries = client.audit.list(
            actor=actor,
            action=action,
            target=target,
            since=None if since is None else parse_moment(since),
            until=None if until is None else parse_moment(until),
        )
        async for entry in entries:
            found.append(entry)
            if len(found) == limit:
                break
        return found

    entries = with_client(read)
    if json:
        output.dump(entries)
    elif as_csv:
        _write(entries)
    else:
        columns = [t(f"column.{name}") for name in ("time", "who", "action", "target", "change")]
        rows = [[show_moment(one.at), one.actor, one.action, one.target, _change(one)] for one in entries]
        output.table(columns, rows, t("audit.none"))


def _retention(keep: float | None, json: bool) -> None:
    from madang.schemas.money import Retention

    async def work(client: AsyncClient) -> float:
        if keep is not None:
            await client.audit.keep(keep)
        return await client.audit.retention()

    days = with_client(work)
    if json:
        output.dump(Retention(days=days))
    else:
        output.fields({t("column.kept"): t("audit.days", days=f"{days:g}") if days else t("audit.for_ever")})


def _write(entries: list[AuditEntry]) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(_COLUMNS)
    for one in entries:
        row = one.model_dump(mode="json")
        for name in ("before", "after"):
            row[name] = "" if row[name] is None else jsonlib.dumps(row[name], ensure_ascii=False, sort_keys=True)
        writer.writerow([output.plain(str(row[name])) for name in _COLUMNS])


def _change(one: AuditEntry) -> str:
    before, after = one.before or {}, one.after or {}
    changed = [name for name in after if name in before]
    return ", ".join(f"{name}: {before[name]} -> {after[name]}" for name in changed)
