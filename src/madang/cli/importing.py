"""`madang user import`: the accounts of a table at once."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from madang.cli import output
from madang.cli.client import with_client
from madang.cli.i18n import t
from madang.domain.errors import InvalidInput

if TYPE_CHECKING:
    from madang.schemas.invitations import Import, ImportedUser

_SECRETS: Final = ("account", "name", "project", "password", "link")


class ExistingOption(StrEnum):
    """What becomes of accounts that are there."""

    REFUSE = "refuse"
    JOIN = "join"


def register(users: typer.Typer) -> None:
    """Add `import` to `madang user`."""
    users.command(name="import", help=t("import.help"))(import_users)


def import_users(
    file: Annotated[Path, typer.Argument(help=t("import.file"), metavar="FILE", allow_dash=True)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help=t("import.dry_run"))] = False,
    domain: Annotated[str | None, typer.Option("--domain", help=t("domain.name"))] = None,
    existing: Annotated[ExistingOption, typer.Option("--existing", help=t("import.existing"))] = ExistingOption.REFUSE,
    make_up: Annotated[bool, typer.Option("--make-up", help=t("import.make_up"))] = False,
    out: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help=t("import.output"))] = None,
    json: Annotated[bool, typer.Option("--json", help=t("json.help"))] = False,
) -> None:
    """See the catalogue for the help text."""
    data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    kept = None if out is None or dry_run else _open_private(out)
    try:
        done = with_client(
            lambda client: client.users.import_csv(
                data, domain=domain, existing=existing.value, make_up=make_up, dry_run=dry_run
            )
        )
    except BaseException as error:
        if kept is not None and out is not None:
            os.close(kept)
            out.unlink()
        if not isinstance(error, InvalidInput) or not error.errors:
            raise
        _tell(error.errors, json)
        raise typer.Exit(2) from None
    if kept is not None:
        _write(kept, done.users)
    if json:
        output.dump(done)
        return
    _show(done, secrets=kept is None)
    if dry_run:
        output.note(t("import.would", count=len(done.users), domain=done.domain))
    else:
        output.note(t("import.done", count=len(done.users), domain=done.domain))
    if kept is not None:
        output.note(t("import.written", file=out))


def _tell(mistakes: Sequence[str], json: bool) -> None:
    """Every mistake on a line of its own."""
    if json:
        output.dump({"errors": list(mistakes)})
        return
    for one in mistakes:
        print(one, file=sys.stderr)
    output.fail(t("import.mistakes", count=len(mistakes)))


def _show(done: Import, *, secrets: bool) -> None:
    columns = ["name", "full_name", "project", "role", "policy", "note"]
    if secrets and any(one.password or one.link for one in done.users):
        columns += ["first_password"]
    rows = [
        [
            one.name,
            one.full_name,
            one.project,
            one.role,
            one.policy,
            t("import.joins") if one.existing else one.sent,
            one.password or one.link,
        ][: len(columns)]
        for one in done.users
    ]
    output.table([t(f"column.{name}") for name in columns], rows, "")


def _open_private(path: Path) -> int:
    """A new file that only this user can read, made before anything is done. Raises InvalidInput."""
    try:
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        raise InvalidInput(t("import.exists", file=path)) from None


def _write(descriptor: int, users: Sequence[ImportedUser]) -> None:
    """What is told only once, for handing out."""
    with os.fdopen(descriptor, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_SECRETS)
        for one in users:
            if one.password or one.link:
                cells = [one.name, one.full_name, one.project, one.password, one.link]
                writer.writerow([output.plain(cell) for cell in cells])
