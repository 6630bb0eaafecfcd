"""What is inside a session: processes, files, statistics; all of it asked from the node that runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from madang.agent.base import ExecProcess
from madang.domain.people import Caller
from madang.schemas.agent import ExecSpec, FileEntry, Usage


class SessionContents:
    """Errors of all: NotFound, Conflict while the session has no container on a node, Unavailable, UnsafePath."""

    async def usage(self, caller: Caller, ref: str) -> Usage | None:
        """What the session uses now; None when it does not run."""
        raise NotImplementedError

    async def exec(self, caller: Caller, ref: str, spec: ExecSpec) -> ExecProcess:
        """Run a further process in a running session. The caller has to close it."""
        raise NotImplementedError

    async def list_files(self, caller: Caller, ref: str, path: str = "") -> Sequence[FileEntry]:
        """The entries of a directory of the work directory."""
        raise NotImplementedError

    async def read_file(self, caller: Caller, ref: str, path: str) -> AsyncIterator[bytes]:
        """The bytes of a file; errors come before the first byte."""
        raise NotImplementedError

    async def write_file(self, caller: Caller, ref: str, path: str, data: AsyncIterator[bytes]) -> None:
        """Replace or create a file atomically, its parent directories included."""
        raise NotImplementedError

    async def delete_file(self, caller: Caller, ref: str, path: str) -> None:
        """Delete a file, or a directory with all beneath it."""
        raise NotImplementedError

    async def put_archive(self, caller: Caller, ref: str, archive: AsyncIterator[bytes], path: str = "") -> None:
        """Unpack a tar stream (plain or gzip) beneath `path`. Raises UnsafePath or TooLarge for a hostile one."""
        raise NotImplementedError

    async def read_archive(self, caller: Caller, ref: str, path: str = "") -> AsyncIterator[bytes]:
        """A tar stream of a file or directory; errors come before the first byte."""
        raise NotImplementedError
