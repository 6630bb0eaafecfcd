"""`madang run`: send a directory, run a command in a sandbox, show its output live, and end as it ended."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from madang.cli import asking
from madang.cli.asking import DEFAULT_GROUP, Asked
from madang.cli.client import describe, with_client
from madang.cli.i18n import t
from madang.cli.output import bar, dump, fail, human_bytes, note, warn
from madang.domain.errors import Forbidden, InvalidInput, MadangError, NameInUse, NotFound, TooLarge
from madang.domain.session import Layout, SessionKind

if TYPE_CHECKING:
    from madang.schemas.api import Session, Upload
    from madang.sdk import AsyncClient
    from madang.sdk.options import SessionOptions

OWN_FAILURE: Final = 125
"""Exit code when Madang itself failed, so that it is not mistaken for the job's."""

BAD_INPUT: Final = 2


@dataclass(frozen=True)
class Job:
    """What to run, as the user wrote it and after the checks."""

    command: list[str]
    asked: Asked
    options: SessionOptions
    directory: Path | None
    limit_bytes: int
    downloads: list[tuple[str, Path]]  # from, beneath the work directory; to, here
    detach: bool
    json: bool


def register(app: typer.Typer) -> None:
    """Add the command."""
    settings = {"allow_interspersed_args": False, "ignore_unknown_options": False}
    app.command(name="run", help=t("run.help"), context_settings=settings)(run)


def run(
    command: Annotated[list[str], typer.Argument(help=t("run.command"), metavar="COMMAND...")],
    env: asking.Env = "python",
    cpu: asking.Cpu = None,
    mem: asking.Mem = None,
    gpu: asking.Gpu = None,
    gpu_model: asking.GpuModel = None,
    slot: asking.Slot = None,
    name: asking.Name = None,
    directory: Annotated[Path | None, typer.Option("--dir", help=t("run.dir"))] = None,
    max_size: Annotated[str, typer.Option("--max-size", help=t("run.max_size"))] = "200m",
    download: Annotated[
        list[str] | None, typer.Option("--download", metavar="PATH[:LOCAL]", help=t("run.download"))
    ] = None,
    variable: asking.Variable = None,
    network: asking.Network = None,
    group: asking.Group = DEFAULT_GROUP,
    priority: asking.Priority = 0,
    size: asking.Size = 1,
    layout: asking.LayoutOption = Layout.ANY,
    start_at: asking.StartAt = None,
    max_time: asking.MaxTime = None,
    deadline: asking.Deadline = None,
    after: asking.After = None,
    after_ok: asking.AfterOk = None,
    reservation: asking.Reserved = None,
    preemptible: asking.Preemptible = None,
    project: asking.Project = None,
    preset: asking.Preset = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help=t("run.detach"))] = False,
    dry_run: asking.DryRun = False,
    json: Annotated[bool, typer.Option("--json", help=t("run.json"))] = False,
) -> None:
    """See the catalogue for the help text."""
    asked = Asked(
        SessionKind.BATCH, env, cpu, mem, slot or [], gpu, gpu_model, name, variable or [], network, group, priority,
        size, layout, start_at, max_time, deadline, after or [], after_ok or [], reservation, preemptible, project,
        preset,
    )  # fmt: skip
    downloads = [_download(written) for written in download or []]
    if detach and downloads:
        raise InvalidInput(t("run.detach_download"))
    if dry_run:
        raise typer.Exit(exit_code(lambda client: foresee(client, asked, command, json)))
    if json and not detach:
        raise InvalidInput(t("run.json_alone"))
    job = Job(command, asked, asked.checked(), directory, _size(max_size), downloads, detach, json)
    raise typer.Exit(exit_code(lambda client: _run(client, job)))


def exit_code(work: Callable[[AsyncClient], Awaitable[int]]) -> int:
    """What `work` returns; for its errors OWN_FAILURE or BAD_INPUT, and one line on standard error."""
    try:
        return with_client(work)
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except MadangError as error:
        fail(describe(error))
        bad = isinstance(error, InvalidInput | TooLarge | NotFound | NameInUse | Forbidden)
        return BAD_INPUT if bad else OWN_FAILURE


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


async def foresee(client: AsyncClient, asked: Asked, command: list[str], json: bool) -> int:
    """Print what would become of the session; returns the exit code."""
    from madang.cli.waiting import outlook

    answer = await client.sessions.plan(command, **await asked.complete(client, asked.checked()))
    if json:
        dump(answer)
    else:
        print(outlook(answer))
    return 0


async def _run(client: AsyncClient, job: Job) -> int:
    from madang.cli.follow import Follower

    upload = await _send(client, job) if job.directory is not None else None
    options = await job.asked.complete(client, job.options)
    options["upload"] = upload
    session = await client.sessions.create(job.command, **options)
    if job.detach:
        if job.json:
            dump(session)
        else:
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
    await client.environments.get(job.asked.env)
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
