"""`madang run`: send a directory, run a command in a sandbox, show its output live, and end as it ended."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from madang.cli.client import describe, with_client
from madang.cli.completion import environment_names
from madang.cli.i18n import t
from madang.cli.output import bar, fail, human_bytes, note, warn
from madang.domain.errors import InvalidInput, MadangError, NameInUse, NotFound, TooLarge

if TYPE_CHECKING:
    from madang.schemas.agent import NetworkMode
    from madang.schemas.api import Session, Upload
    from madang.sdk import AsyncClient

OWN_FAILURE: Final = 125
"""Exit code when Madang itself failed, so that it is not mistaken for the job's."""

BAD_INPUT: Final = 2


@dataclass(frozen=True)
class Job:
    """What to run, as the user wrote it and after the checks."""

    command: list[str]
    environment: str
    slots: dict[str, str | int]
    name: str | None
    directory: Path | None
    limit_bytes: int
    downloads: list[tuple[str, Path]]  # from, beneath the work directory; to, here
    variables: dict[str, str]
    network: NetworkMode | None
    detach: bool


def register(app: typer.Typer) -> None:
    """Add the command."""
    settings = {"allow_interspersed_args": False, "ignore_unknown_options": False}
    app.command(name="run", help=t("run.help"), context_settings=settings)(run)


def run(
    command: Annotated[list[str], typer.Argument(help=t("run.command"), metavar="COMMAND...")],
    env: Annotated[
        str, typer.Option("--env", help=t("run.env"), autocompletion=environment_names, show_default=True)
    ] = "python",
    cpu: Annotated[str | None, typer.Option("--cpu", help=t("run.cpu"))] = None,
    mem: Annotated[str | None, typer.Option("--mem", help=t("run.mem"))] = None,
    slot: Annotated[list[str] | None, typer.Option("--slot", metavar="NAME=AMOUNT", help=t("run.slot"))] = None,
    name: Annotated[str | None, typer.Option("--name", "-n", help=t("run.name"))] = None,
    directory: Annotated[Path | None, typer.Option("--dir", help=t("run.dir"))] = None,
    max_size: Annotated[str, typer.Option("--max-size", help=t("run.max_size"))] = "200m",
    download: Annotated[
        list[str] | None, typer.Option("--download", metavar="PATH[:LOCAL]", help=t("run.download"))
    ] = None,
    variable: Annotated[list[str] | None, typer.Option("-e", metavar="KEY=VALUE", help=t("run.variable"))] = None,
    network: Annotated[str | None, typer.Option("--network", metavar="none|outbound", help=t("run.network"))] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help=t("run.detach"))] = False,
) -> None:
    """See the catalogue for the help text."""
    job = Job(
        command=command,
        environment=env,
        slots=_slots(cpu, mem, slot or []),
        name=name,
        directory=directory,
        limit_bytes=_size(max_size),
        downloads=[_download(written) for written in download or []],
        variables=dict(parse_variable(written) for written in variable or []),
        network=_network(network),
        detach=detach,
    )
    if detach and job.downloads:
        raise InvalidInput(t("run.detach_download"))
    try:
        code = with_client(lambda client: _run(client, job))
    except BrokenPipeError:
        code = 128 + signal.SIGPIPE
    except MadangError as error:
        fail(describe(error))
        code = BAD_INPUT if isinstance(error, InvalidInput | TooLarge | NotFound | NameInUse) else OWN_FAILURE
    raise typer.Exit(code)


def _slots(cpu: str | None, mem: str | None, more: list[str]) -> dict[str, str | int]:
    from madang.domain.slots import Slots

    slots: dict[str, str | int] = {"cpu": cpu or "1", "mem": mem or "1g"}
    for written in more:
        name, equals, amount = written.partition("=")
        if not equals:
            raise InvalidInput(t("run.bad_slot", written=written))
        slots[name] = amount
    Slots.parse(slots)  # a misread amount is said before anything is sent
    return slots


def _size(written: str) -> int:
    from madang.domain.slots import parse_amount

    try:
        return parse_amount("mem", written)
    except InvalidInput:
        raise InvalidInput(t("run.bad_size", written=written)) from None


def _download(written: str) -> tuple[str, Path]:
    from madang.domain.names import relative_path

    remote, _, local = written.partition(":")
    parts = relative_path(remote)
    return "/".join(parts), Path(local or "/".join(parts) or ".")


def parse_variable(written: str) -> tuple[str, str]:
    """`KEY=VALUE`, or `KEY` for the value it has here. Raises InvalidInput."""
    name, equals, value = written.partition("=")
    if equals:
        return name, value
    if name not in os.environ:
        raise InvalidInput(t("run.no_variable", name=name))
    return name, os.environ[name]


def _network(written: str | None) -> NetworkMode | None:
    if written is None or written == "none":
        return "none" if written else None
    if written == "outbound":
        return "outbound"
    raise InvalidInput(t("run.bad_network", written=written))


async def _run(client: AsyncClient, job: Job) -> int:
    from madang.cli.follow import Follower

    upload = await _send(client, job) if job.directory is not None else None
    session = await client.sessions.create(
        job.command,
        environment=job.environment,
        slots=job.slots,
        name=job.name,
        variables=job.variables,
        network=job.network,
        upload=upload,
    )
    if job.detach:
        print(session.name)
        return 0
    try:
        follower = Follower(client, session)
        ended = await follower.follow()
        if ended is None:
            return 130
        await _fetch(client, ended, job.downloads)
    except MadangError as error:
        fail(f"{describe(error)} {t('run.goes_on', name=session.name)}")
        return OWN_FAILURE
    return 130 if follower.interrupted else explain(ended)


async def _send(client: AsyncClient, job: Job) -> Upload:
    import asyncio

    from madang.sdk.pack import scan

    assert job.directory is not None  # noqa: S101 - the caller has looked
    # Before anything large is sent: the commonest typing error, and one the server would find only afterwards.
    await client.environments.get(job.environment)
    manifest = await asyncio.to_thread(scan, job.directory, limit_bytes=job.limit_bytes)
    if manifest.skipped:
        warn(t("run.skipped", names=", ".join(manifest.skipped[:5]), count=len(manifest.skipped)))
    total = max(manifest.size, 1)
    with bar(t("run.sending", directory=job.directory, size=human_bytes(manifest.size))) as progress:
        return await client.uploads.create(
            manifest,
            limit_bytes=job.limit_bytes,
            progress=lambda done, _: progress(done / total, human_bytes(done)),
        )


async def _fetch(client: AsyncClient, session: Session, downloads: list[tuple[str, Path]]) -> None:
    from madang.cli.copying import fetch

    for remote, local in downloads:
        try:
            result = await fetch(client, session.id, remote, local)
        except NotFound:
            warn(t("run.nothing_to_download", path=remote or "."))
            continue
        note(t("run.downloaded", count=result.files, local=local))


def explain(session: Session) -> int:
    """The exit code that a session ends with; says on standard error what no exit code can."""
    from madang.cli.follow import signal_name
    from madang.domain.session import Exit, ExitReason
    from madang.domain.slots import format_amount

    if session.exit is None:
        fail(session.reason or t("run.no_exit", state=session.state))
        return OWN_FAILURE
    end = session.exit
    match end.reason:
        case ExitReason.OOM:
            fail(t("run.oom", limit=format_amount("mem", session.slots.get("mem", 0))))
            return 137
        case ExitReason.LAUNCH | ExitReason.LOST:
            fail(end.message or session.reason)
            return OWN_FAILURE
        case ExitReason.SIGNAL:
            warn(t("run.signal", signal=signal_name(end.signal or 0)))
        case ExitReason.STOPPED:
            warn(t("run.stopped"))
        case ExitReason.EXITED:
            pass
    return Exit(end.reason, end.code, end.signal).shell_code
