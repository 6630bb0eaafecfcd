"""What is inside a session: processes, files, statistics; all of it asked from the node that runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from madang.agent.base import Agent, ExecProcess
from madang.db.engine import Database
from madang.db.repositories import sessions
from madang.db.rows import SessionRow
from madang.domain.container import ContainerState
from madang.domain.errors import Conflict, NotFound
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.domain.session import SessionState
from madang.fabric.base import Fabric
from madang.schemas.agent import ExecSpec, FileEntry, Usage


class SessionContents:
    """Errors of all: NotFound, Forbidden, Conflict while the session has no container on a node, Unavailable,
    UnsafePath."""

    def __init__(self, database: Database, fabric: Fabric) -> None:
        self._database = database
        self._fabric = fabric

    async def allow(self, caller: Caller, ref: str, right: Right) -> str:
        """The id of a session over which the caller has a right. For what would otherwise fail in the middle."""
        return (await self._find(caller, ref, right)).id

    async def usage(self, caller: Caller, ref: str) -> Usage | None:
        """What the session uses now; None when it does not run."""
        row = await self._find(caller, ref, Right.SESSION_READ)
        if row.main is None or row.state not in (SessionState.RUNNING, SessionState.TERMINATING):
            return None
        return await self._fabric.agent(row.main.node).usage(row.main.id)

    async def exec(self, caller: Caller, ref: str, spec: ExecSpec) -> ExecProcess:
        """Run a further process in a running session. The caller has to close it."""
        row = await self._find(caller, ref, Right.SESSION_ENTER)
        if row.state is not SessionState.RUNNING:
            raise Conflict(f"Session '{row.name}' is {row.state}; a process can be run in it while it is running.")
        agent, container = self._place(row)
        return await agent.exec(container, spec)

    async def list_files(self, caller: Caller, ref: str, path: str = "") -> Sequence[FileEntry]:
        """The entries of a directory of the work directory."""
        agent, container = self._place(await self._find(caller, ref, Right.SESSION_READ))
        return await agent.list_files(container, path)

    async def read_file(self, caller: Caller, ref: str, path: str) -> AsyncIterator[bytes]:
        """The bytes of a file; errors come before the first byte."""
        agent, container = self._place(await self._find(caller, ref, Right.SESSION_READ))
        return await agent.read_file(container, path)

    async def write_file(self, caller: Caller, ref: str, path: str, data: AsyncIterator[bytes]) -> None:
        """Replace or create a file atomically, its parent directories included."""
        agent, container = self._place(await self._find(caller, ref, Right.SESSION_ENTER))
        await agent.write_file(container, path, data)

    async def delete_file(self, caller: Caller, ref: str, path: str) -> None:
        """Delete a file, or a directory with all beneath it."""
        agent, container = self._place(await self._find(caller, ref, Right.SESSION_ENTER))
        await agent.delete_file(container, path)

    async def put_archive(self, caller: Caller, ref: str, archive: AsyncIterator[bytes], path: str = "") -> None:
        """Unpack a tar stream (plain or gzip) beneath `path`. Raises UnsafePath or TooLarge for a hostile one."""
        agent, container = self._place(await self._find(caller, ref, Right.SESSION_ENTER))
        await agent.put_archive(container, archive, path)

    async def read_archive(self, caller: Caller, ref: str, path: str = "") -> AsyncIterator[bytes]:
        """A tar stream of a file or directory; errors come before the first byte."""
        agent, container = self._place(await self._find(caller, ref, Right.SESSION_READ))
        return await agent.read_archive(container, path)

    async def _find(self, caller: Caller, ref: str, right: Right) -> SessionRow:
        name = checked(ref)
        return await self._database.read(lambda connection: sessions.find(connection, caller, name, right))

    def _place(self, row: SessionRow) -> tuple[Agent, str]:
        """The agent and the container that hold the session's files."""
        if row.main is None or row.state in (SessionState.PENDING, SessionState.SCHEDULED):
            if row.state is SessionState.CANCELLED:
                raise Conflict(f"Session '{row.name}' was stopped before it had any files.")
            raise Conflict(f"Session '{row.name}' is {row.state} and has no files yet. Wait until it runs.")
        if row.main.state is ContainerState.REMOVED:
            raise NotFound(f"The logs and files of session '{row.name}' are no longer kept.")
        return self._fabric.agent(row.main.node), row.main.id


def checked(ref: str) -> str:
    """`ref`, which the database can be asked for. Raises NotFound."""
    if "\0" in ref:
        raise NotFound("There is no such session: the name contains a NUL character.")
    return ref
