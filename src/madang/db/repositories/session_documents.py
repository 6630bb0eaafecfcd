"""Sessions as JSON, as a caller may see them: the database writes it, so that a page of them is no work for us."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import asyncpg
from sqlalchemy import ColumnElement, Integer, RowMapping, Text, bindparam, case, func, literal_column, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from madang.db.engine import Database
from madang.db.readers import Statement
from madang.db.repositories.session_rights import Seen, newest_named, values_of, visible
from madang.db.repositories.session_rows import WITH_MAIN
from madang.db.statements import among
from madang.db.tables import projects, session_shares, sessions
from madang.domain.errors import NotFound
from madang.domain.ids import ID_LENGTH
from madang.domain.people import Caller
from madang.domain.rights import Right, Tie, gives
from madang.domain.session import SessionKind, SessionState

_s = sessions.c

_RIGHTS: Final = (Right.SESSION_READ, Right.SESSION_ENTER, Right.SESSION_STOP, Right.SESSION_SHARE)


def _exit(container: str) -> str:
    return f"""
        CASE WHEN {container}.exit_reason IS NOT NULL THEN json_build_object(
            'reason', {container}.exit_reason, 'code', {container}.exit_code, 'signal', {container}.exit_signal,
            'message', coalesce({container}.exit_message, '')) END"""


def _container(container: str) -> str:
    return f"""json_build_object(
        'role', CASE WHEN {container}.position = 0 THEN 'main' ELSE 'sub' END, 'rank', {container}.position,
        'node', {container}.node, 'state', {container}.state, 'devices', {container}.devices,
        'exit', {_exit(container)})"""


# Of `schemas.api.Session` all but what depends on the caller's rights.
_DOCUMENT: Final = f"""json_build_object(
    'id', sessions.id, 'name', sessions.name, 'owner', users.name,
    'project', CASE WHEN domains.name = 'default' THEN projects.name ELSE domains.name || '/' || projects.name END,
    'kind', sessions.kind, 'state', sessions.state, 'reason', sessions.reason, 'environment', sessions.environment,
    'slots', sessions.slots, 'processes', sessions.processes, 'network', sessions.network,
    'node', CASE WHEN sessions.state <> 'pending' THEN containers.node END,
    'exit', CASE WHEN sessions.state <> 'pending' THEN {_exit("containers")} END,
    'created_at', sessions.created_at, 'started_at', sessions.started_at, 'ended_at', sessions.ended_at,
    'resource_group', sessions.resource_group, 'models', sessions.models, 'size', sessions.size,
    'layout', sessions.layout, 'priority', sessions.priority, 'start_at', sessions.start_at,
    'max_seconds', sessions.max_seconds, 'deadline', sessions.deadline, 'preemptible', sessions.preemptible,
    'reservation', sessions.reservation, 'requeues', sessions.requeues,
    'waiting', CASE WHEN sessions.state = 'pending' THEN sessions.waiting END,
    'after', coalesce((
        SELECT json_agg(on_session_id ORDER BY on_session_id) FROM session_dependencies
        WHERE session_id = sessions.id AND NOT ok), '[]'),
    'after_ok', coalesce((
        SELECT json_agg(on_session_id ORDER BY on_session_id) FROM session_dependencies
        WHERE session_id = sessions.id AND ok), '[]'),
    'containers', CASE
        WHEN sessions.state = 'pending' OR containers.id IS NULL THEN '[]'
        WHEN sessions.size = 1 THEN json_build_array({_container("containers")})
        ELSE (SELECT json_agg({_container("c")} ORDER BY c.position) FROM containers c
            WHERE c.session_id = sessions.id) END
)::text"""  # noqa: S608 - a constant
_SHARE: Final = case(
    (
        _s.owner_id != bindparam("me"),
        select(func.min(session_shares.c.level))  # 'use' comes before 'view'
        .where(
            session_shares.c.session_id == _s.id,
            or_(session_shares.c.user_id == bindparam("me"), among(session_shares.c.project_id, "mine")),
        )
        .correlate(sessions)
        .scalar_subquery(),
    )
)
# Which versions of rows a document is made of; a row of an id is the same as long as its `xmin` is.
_VERSION: Final = (
    "sessions.xmin",
    "users.xmin",
    "projects.xmin",
    "domains.xmin",
    "containers.xmin",
    "(SELECT count(*) FROM session_dependencies WHERE session_id = sessions.id)",
    """CASE WHEN sessions.size > 1 THEN (
        SELECT string_agg(c.xmin::text, ' ' ORDER BY c.position) FROM containers c WHERE c.session_id = sessions.id
    ) END""",
)
_TIES: Final = (_s.id, _s.owner_id, _s.project_id, projects.c.domain_id, _SHARE.label("share"))
_VERSIONS: Final[list[ColumnElement[object]]] = [
    literal_column(one).label(f"v{number}") for number, one in enumerate(_VERSION)
]
_SELECT: Final = select(*_TIES, *_VERSIONS).select_from(WITH_MAIN)
_CONTENT: Final = [
    literal_column("sessions.command::text", Text).label("command"),
    literal_column("sessions.variables::text", Text).label("variables"),
    literal_column(_DOCUMENT, Text).label("document"),
]
_OF: Final = select(*_TIES, *_CONTENT).select_from(WITH_MAIN).where(_s.id == bindparam("ref"))
_BY_IDS: Final = Statement(select(_s.id, *_CONTENT, *_VERSIONS).select_from(WITH_MAIN).where(among(_s.id, "ids")))
_FIRST_VERSION: Final = len(_TIES)
_REMEMBERED: Final = 4096  # documents of about 1 KiB


class _Content(NamedTuple):
    """A session as JSON without its last brace; what only some may read is apart."""

    document: str
    command: str
    variables: str


@dataclass(frozen=True, slots=True)
class PageOf:
    """Which sessions are listed; None and nothing: any. `before`: only those older than this id."""

    states: tuple[SessionState, ...] = ()
    name: str | None = None
    kind: SessionKind | None = None
    project_id: str | None = None
    before: str | None = None
    limit: int = 50


_ONLY: Final[Mapping[str, ColumnElement[bool]]] = {
    "states": among(_s.state, "states"),
    "name": _s.name == bindparam("name"),
    "kind": _s.kind == bindparam("kind"),
    "project_id": _s.project_id == bindparam("project_id"),
    "before": _s.id < bindparam("before"),
}


# Statements are built once for each combination of conditions: building one costs more than running it.


@cache
def _page(seen: Seen, only: frozenset[str]) -> Statement:
    query = _SELECT.where(*visible(seen), *(_ONLY[name] for name in sorted(only)))
    return Statement(query.order_by(_s.id.desc()).limit(bindparam("limit", type_=Integer)))


@cache
def _by_id(seen: Seen) -> Statement:
    return Statement(_SELECT.where(*visible(seen), _s.id == bindparam("ref")))


@cache
def _by_name(seen: Seen) -> Statement:
    return Statement(newest_named(_SELECT.where(*visible(seen))))


class SessionDocuments:
    """Reads sessions as callers may see them. Who sees what, and in which version, the database is asked each time;
    documents of versions that were read before are remembered."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, tuple[tuple[object, ...], _Content]] = {}

    async def find(self, caller: Caller, ref: str) -> str:
        """One session, by id or name as in `sessions.find`. Raises NotFound."""
        reach = caller.reach(Right.SESSION_SEE)
        seen, values = Seen.of(reach), {"ref": ref, **values_of(caller, reach)}
        found = await self._database.fetch(_by_id(seen), values) if len(ref) == ID_LENGTH else []
        found = found or await self._database.fetch(_by_name(seen), values)
        documents = await self._documents(found, caller)
        if not documents:
            raise NotFound(f"There is no session '{ref[:60]}'. 'madang session ls' shows those there are.")
        return documents[0]

    async def page(self, caller: Caller, of: PageOf) -> tuple[list[str], str | None]:
        """Those that the caller may see, newest first, and the id of the last one when there are more."""
        reach = caller.reach(Right.SESSION_SEE)
        only = {name: value for name in _ONLY if (value := getattr(of, name))}
        values = {**values_of(caller, reach), **only, "limit": of.limit + 1}
        found = await self._database.fetch(_page(Seen.of(reach), frozenset(only)), values)
        last = found[of.limit - 1]["id"] if len(found) > of.limit else None
        return await self._documents(found[: of.limit], caller), last

    async def _documents(self, rows: Sequence[asyncpg.Record], caller: Caller) -> list[str]:
        """Of these rows, without those that have been deleted meanwhile."""
        contents = {row[0]: self._known.get(row[0]) for row in rows}
        missing = [row[0] for row in rows if (one := contents[row[0]]) is None or one[0] != row[_FIRST_VERSION:]]
        if missing:
            contents.update(dict.fromkeys(missing))
            for row in await self._database.fetch(_BY_IDS, {"ids": missing}):
                contents[row["id"]] = self._remember(row)
        may: dict[tuple[object, ...], tuple[str, bool]] = {}
        made = []
        for row in rows:
            content = contents[row[0]]
            if content is not None:
                ties = row[1:_FIRST_VERSION]
                made.append(_with_rights(content[1], may.get(ties) or may.setdefault(ties, _may(row, caller))))
        return made

    def _remember(self, row: asyncpg.Record) -> tuple[tuple[object, ...], _Content]:
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        kept = row[4:], _Content(row["document"][:-1], row["command"], row["variables"])
        self._known[row["id"]] = kept
        return kept


async def of(connection: AsyncConnection, caller: Caller, session_id: str) -> str:
    """A session that the caller has just made or changed."""
    values = {"ref": session_id, "me": caller.user_id, "mine": sorted(caller.memberships)}
    row = (await connection.execute(_OF, values)).mappings().one()
    content = _Content(row["document"][:-1], row["command"], row["variables"])
    return _with_rights(content, _may(row, caller))


def _with_rights(content: _Content, may: tuple[str, bool]) -> str:
    rights, reads = may
    command, variables = (content.command, content.variables) if reads else ("[]", "{}")
    return f'{content.document},"may":{rights},"command":{command},"variables":{variables}}}'


def _may(row: asyncpg.Record | RowMapping, caller: Caller) -> tuple[str, bool]:
    """What the caller may do with a session, as JSON, and whether the caller reads what is in it."""
    ties = caller.ties(
        owner_id=row["owner_id"], project_id=row["project_id"], domain_id=row["domain_id"], share=row["share"]
    )
    return _may_with(frozenset(ties))


@cache
def _may_with(ties: frozenset[Tie]) -> tuple[str, bool]:
    may = [right.value.partition(".")[2] for right in _RIGHTS if gives(right, ties)]
    return json.dumps(may), gives(Right.SESSION_READ, ties)
