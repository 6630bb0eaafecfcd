"""The port to a node: what any agent, local or far away, offers the manager."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from madang.schemas.agent import (
    ContainerSpec,
    ContainerStatus,
    EnvironmentStatus,
    ExecSpec,
    ExitReport,
    FileEntry,
    LogPage,
    NodeReport,
    Stream,
    Usage,
)


class ExecProcess(Protocol):
    """A further process in a container. Closing it kills the process if it still runs."""

    async def write(self, data: bytes) -> None:
        """Send bytes to its standard input or terminal. Ignored once it has ended."""

    async def close_stdin(self) -> None:
        """End its standard input; on a terminal sends end-of-file (Ctrl-D)."""

    async def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size; without a terminal nothing happens."""

    async def signal(self, number: int) -> None:
        """Send a signal to the process."""

    def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        """Its output until it ends; on a terminal all of it is stdout."""

    async def wait(self) -> ExitReport:
        """How it ended. Call after `output` is exhausted."""

    async def close(self) -> None:
        """Kill the process if it runs and let go of its streams."""


class Agent(Protocol):
    """One node. Every command is idempotent and safe to send again after a crash of either side.

    Errors: NotFound for an unknown container, StaleEpoch for a command of an earlier launch, Conflict for a container
    in the wrong phase, StorageFull when the node's disk is full, Unavailable when the node cannot be reached.
    """

    async def report(self) -> NodeReport:
        """What the node is and can do."""

    async def create(self, spec: ContainerSpec) -> ContainerStatus:
        """Make the container's directories. The same (container, epoch) again changes nothing.

        A higher epoch ends and removes what an earlier launch left; an older one raises StaleEpoch.
        """

    async def put_archive(self, container_id: str, archive: AsyncIterator[bytes], path: str = "") -> None:
        """Unpack a tar stream (plain or gzip) beneath `path` of the work directory; in phase CREATED or RUNNING.

        Raises UnsafePath or TooLarge for a hostile archive: what came before the offending member stays.
        """

    async def start(self, container_id: str, epoch: int) -> ContainerStatus:
        """Build what is missing of the environment, make the sandbox and run the command, at most once an epoch.

        Returns with phase RUNNING or ENDED; a launch that is impossible is ENDED with reason LAUNCH. Sent again, it
        waits for the first call's result.
        """

    async def stop(self, container_id: str, epoch: int, grace_seconds: float) -> None:
        """Ask the main process to end (SIGTERM), and kill all of the container after the grace time. Does not wait.

        A container that was never started ends at once. Stopping an ended container changes nothing.
        """

    async def remove(self, container_id: str, epoch: int) -> None:
        """Kill what runs and delete the container with its logs and files. An unknown one is no error.

        Afterwards a create or start of this or an older epoch raises StaleEpoch.
        """

    async def containers(self) -> Sequence[ContainerStatus]:
        """All containers on the node that were not removed, ended ones included."""

    def watch(self) -> AsyncIterator[ContainerStatus]:
        """Every change of phase from now on. A slow reader may miss one: compare with `containers` at times."""

    async def usage(self, container_id: str) -> Usage | None:
        """What a running container uses; None when it does not run."""

    async def read_log(self, container_id: str, cursor: int = 0, limit: int = 1 << 20, wait: float = 0) -> LogPage:
        """Output from `cursor` on, at most about `limit` bytes; waits up to `wait` seconds when there is none yet.

        A negative cursor counts back from the newest byte.
        """

    async def exec(self, container_id: str, spec: ExecSpec) -> ExecProcess:
        """Run a further process in a RUNNING container, with the same walls as its main process."""

    async def list_files(self, container_id: str, path: str = "") -> Sequence[FileEntry]:
        """The entries of a directory of the work directory."""

    async def read_file(self, container_id: str, path: str) -> AsyncIterator[bytes]:
        """The bytes of a regular file of the work directory; raises NotFound before the first byte."""

    async def write_file(self, container_id: str, path: str, data: AsyncIterator[bytes]) -> None:
        """Replace or create a file atomically, its parent directories included."""

    async def delete_file(self, container_id: str, path: str) -> None:
        """Delete a file, or a directory with all beneath it."""

    async def read_archive(self, container_id: str, path: str = "") -> AsyncIterator[bytes]:
        """A tar stream of a file or directory of the work directory; symbolic links stay links."""

    async def environments(self) -> Sequence[EnvironmentStatus]:
        """The environments this node knows, built or not."""

    async def build_environment(self, name: str) -> None:
        """Make an environment ready; returns when it is. Raises NotFound, or Unavailable when the build failed.

        Concurrent calls share one build; progress shows in `environments`.
        """
