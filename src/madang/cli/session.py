"""`madang session`: look at sessions, follow, enter and stop them, and copy their files."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from madang.cli import output
from madang.cli.asking import parse_variable
from madang.cli.client import with_client
from madang.cli.completion import session_names
from madang.cli.i18n import t
from madang.domain.errors import Conflict, InvalidInput
from madang.domain.session import ENDED, SessionState

if TYPE_CHECKING:
    from madang.schemas.api import Session, SessionExit
    from madang.sdk import AsyncClient

app = typer.Typer(help=t("session.help"), no_args_is_help=True, rich_markup_mode=None)

Ref = Annotated[str, typer.Argument(help=t("session.ref"), autocompletion=session_names, metavar="SESSION")]
Json = Annotated[bool, typer.Option("--json", help=t("json.help"))]

_LIVE: Final = tuple(state for state in SessionState if state not in ENDED)


@app.command("ls", help=t("session.ls"))
def ls(
    everything: Annotated[bool, typer.Option("--all", "-a", help=t("session.ls_all"))] = False,
    state: Annotated[list[SessionState] | None, typer.Option("--state", help=t("session.ls_state"))] = None,
    project: Annotated[
        str | None, typer.Option("--project", metavar="[DOMAIN/]PROJECT", help=t("session.ls_project"))
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help=t("session.ls_limit"))] = 100,
    json: Json = False,
) -> None:
    """See the catalogue for the help text."""
    states = tuple(state or ()) or (() if everything else _LIVE)
    sessions = with_client(lambda client: _list(client, states, limit, project))
    if json:
        output.dump(sessions)
        return
    from madang.cli.waiting import reason_of

    columns = [t(f"column.{name}") for name in ("name", "state", "environment", "slots", "node", "age", "reason")]
    rows = [
        [s.name, s.state, s.environment, _slots(s), s.node or "", output.age(s.created_at), reason_of(s)]
        for s in sessions
    ]
    output.table(columns, rows, t("session.none") if everything or state else t("session.none_live"))


async def _list(
    client: AsyncClient, states: tuple[SessionState, ...], limit: int, project: str | None = None
) -> list[Session]:
    found: list[Session] = []
    async for session in client.sessions.list(states=states, project=project, page_size=min(limit, 100)):
        found.append(session)
        if len(found) == limit:
            break
    return found


@app.command("show", help=t("session.show"))
def show(ref: Ref, json: Json = False) -> None:
    """See the catalogue for the help text."""
    session = with_client(lambda client: client.sessions.get(ref))
    if json:
        output.dump(session)
        return
    import shlex

    from madang.cli.moments import show_moment
    from madang.cli.waiting import place_of, reason_of, start_of

    output.fields(
        {
            t("column.name"): session.name,
            t("column.id"): session.id,
            t("column.owner"): session.owner,
            t("column.project"): session.project,
            t("column.state"): session.state,
            t("column.reason"): reason_of(session),
            t("column.place"): place_of(session.waiting),
            t("column.estimated_start"): start_of(session.waiting),
            t("column.exit"): _exit(session.exit),
            t("column.kind"): session.kind,
            t("column.environment"): session.environment,
            t("column.command"): shlex.join(session.command),
            t("column.slots"): _slots(session),
            t("column.network"): session.network,
            t("column.group"): session.resource_group,
            t("column.priority"): str(session.priority) if session.priority else "",
            t("column.size"): f"{session.size} ({session.layout})" if session.size > 1 else "",
            t("column.reservation"): session.reservation or "",
            t("column.start_at"): show_moment(session.start_at),
            t("column.max_time"): _length(session.max_seconds),
            t("column.deadline"): show_moment(session.deadline),
            t("column.after"): ", ".join(session.after),
            t("column.after_ok"): ", ".join(session.after_ok),
            t("column.requeues"): str(session.requeues) if session.requeues else "",
            t("column.node"): session.node or "",
            t("column.created"): _moment(session.created_at),
            t("column.started"): _moment(session.started_at),
            t("column.ended"): _moment(session.ended_at),
        }
    )
    _show_containers(session)


def _show_containers(session: Session) -> None:
    """Where its containers are and what they hold; a single one without devices is told by its node alone."""
    from madang.cli.waiting import devices_text

    if len(session.containers) < 2 and not any(container.devices for container in session.containers):
        return
    print()
    columns = [t(f"column.{name}") for name in ("rank", "node", "state", "devices", "exit")]
    rows = [
        [str(one.rank), one.node, one.state, devices_text(one.devices), _exit(one.exit)] for one in session.containers
    ]
    output.table(columns, rows, "")


def _slots(session: Session) -> str:
    models = f" ({'|'.join(session.models)})" if session.models else ""
    return output.slots(session.slots) + models


def _length(seconds: float | None) -> str:
    from madang.domain.durations import format_seconds

    return format_seconds(seconds) if seconds is not None else ""


def _exit(end: SessionExit | None) -> str:
    if end is None:
        return ""
    from madang.cli.follow import signal_name

    code = end.code if end.code is not None else signal_name(end.signal) if end.signal is not None else ""
    return " ".join(str(part) for part in (end.reason, code, end.message and f"({end.message})") if part != "")


def _moment(moment: datetime | None) -> str:
    return moment.astimezone().isoformat(sep=" ", timespec="seconds") if moment else ""


@app.command("logs", help=t("session.logs"))
def logs(
    ref: Ref, follow: Annotated[bool, typer.Option("--follow", "-f", help=t("session.logs_follow"))] = False
) -> None:
    """See the catalogue for the help text."""
    with_client(lambda client: _logs(client, ref, follow))


async def _logs(client: AsyncClient, ref: str, follow: bool) -> None:
    from madang.cli.follow import write_piece

    async for piece in client.sessions.logs(ref, follow=follow):
        await write_piece(piece)


@app.command(
    "exec", help=t("session.exec"), context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False}
)
def execute(
    ref: Ref,
    command: Annotated[list[str], typer.Argument(help=t("session.exec_command"), metavar="COMMAND...")],
    interactive: Annotated[bool, typer.Option("--interactive", "-i", help=t("session.exec_stdin"))] = False,
    terminal: Annotated[bool, typer.Option("--tty", "-t", help=t("session.exec_tty"))] = False,
    variable: Annotated[list[str] | None, typer.Option("-e", metavar="KEY=VALUE", help=t("run.variable"))] = None,
) -> None:
    """See the catalogue for the help text."""
    if terminal and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInput(t("session.exec_no_tty"))
    variables = dict(parse_variable(written) for written in variable or [])
    if command[0] == "--":  # it comes after the session, where the parser no longer looks for it
        command = command[1:]
        if not command:
            raise InvalidInput(t("session.exec_nothing"))
    raise typer.Exit(with_client(lambda client: _exec(client, ref, command, variables, interactive, terminal)))


async def _exec(
    client: AsyncClient, ref: str, command: list[str], variables: dict[str, str], interactive: bool, terminal: bool
) -> int:
    from madang.cli.terminal import attach_streams, attach_terminal, size

    rows, columns = size() if terminal else (24, 80)
    try:
        async with await client.sessions.exec(
            ref, command, variables=variables, terminal=terminal, rows=rows, columns=columns
        ) as process:
            end = await (attach_terminal(process) if terminal else attach_streams(process, stdin=interactive))
    except asyncio.CancelledError:
        return 130
    if end.message and end.code is None:
        output.warn(end.message)
    return end.to_domain().shell_code


@app.command("stop", help=t("session.stop"))
def stop(
    refs: Annotated[
        list[str] | None, typer.Argument(help=t("session.ref"), autocompletion=session_names, metavar="SESSION...")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help=t("session.stop_all"))] = False,
    grace: Annotated[float, typer.Option("--grace", min=0, max=3600, help=t("session.stop_grace"))] = 10,
) -> None:
    """See the catalogue for the help text."""
    if bool(refs) == everything:
        raise InvalidInput(t("session.stop_which"))
    with_client(lambda client: _stop(client, refs or [], everything, grace))


async def _stop(client: AsyncClient, refs: list[str], everything: bool, grace: float) -> None:
    if everything:
        refs = [session.id for session in await _list(client, _LIVE, 1_000_000)]
        if not refs:
            output.note(t("session.none_live"))
    # All are asked first, so that their grace times run side by side.
    asked = [await client.sessions.stop(ref, grace) for ref in refs]
    for session in asked:
        ended = await client.sessions.wait(session.id)
        print(f"{ended.name} {ended.state}")


@app.command("rm", help=t("session.rm"))
def remove(
    refs: Annotated[
        list[str], typer.Argument(help=t("session.ref"), autocompletion=session_names, metavar="SESSION...")
    ],
    force: Annotated[bool, typer.Option("--force", "-f", help=t("session.rm_force"))] = False,
) -> None:
    """See the catalogue for the help text."""
    with_client(lambda client: _remove(client, refs, force))


async def _remove(client: AsyncClient, refs: list[str], force: bool) -> None:
    for ref in refs:
        session = await client.sessions.get(ref)
        if session.state not in ENDED:
            if not force:
                raise Conflict(t("session.rm_live", name=session.name, state=session.state))
            await client.sessions.stop(session.id, 0)
            session = await client.sessions.wait(session.id)
        await client.sessions.delete(session.id)
        print(session.name)


@app.command("cp", help=t("session.cp"))
def copy(
    source: Annotated[str, typer.Argument(help=t("session.cp_source"), metavar="SOURCE")],
    destination: Annotated[str, typer.Argument(help=t("session.cp_destination"), metavar="DESTINATION")],
) -> None:
    """See the catalogue for the help text."""
    from madang.cli.copying import copy_from, copy_to

    there, here = _remote(source), _remote(destination)
    if there is not None and here is None:
        ref, path = there
        with_client(lambda client: copy_from(client, ref, path, destination))
    elif here is not None and there is None:
        ref, path = here
        with_client(lambda client: copy_to(client, source, ref, path))
    else:
        raise InvalidInput(t("session.cp_one_side"))


def _remote(written: str) -> tuple[str, str] | None:
    """`NAME:path` as session and path; None for a local path. A path with a colon is written ./a:b."""
    name, colon, path = written.partition(":")
    if not colon or not name or "/" in name or name.startswith("."):
        return None
    return name, path
