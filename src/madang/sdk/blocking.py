"""The nouns of the synchronous client; what each method does and raises is written at the asynchronous one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Unpack

from madang.domain.rights import Scope
from madang.domain.session import SessionKind, SessionState
from madang.schemas.agent import EnvironmentStatus, ExitReport, Stream, Usage
from madang.schemas.api import (
    DEFAULT_GROUP,
    AuditEntry,
    Day,
    Event,
    FileEntry,
    GroupAccess,
    GroupPolicy,
    NewToken,
    NodeState,
    PlanAnswer,
    Policy,
    PolicyHolder,
    PolicyLimits,
    Reservation,
    ResourceGroup,
    Session,
    Token,
    Upload,
    UsageReport,
)
from madang.sdk._bridge import Bridge
from madang.sdk._bytes import Source
from madang.sdk.audit import AsyncAudit
from madang.sdk.catalog import AsyncEnvironments, AsyncNodes
from madang.sdk.exec import AsyncExec
from madang.sdk.files import AsyncFiles
from madang.sdk.groups import AsyncGroups, AsyncReservations
from madang.sdk.models import LogPiece, Progress
from madang.sdk.options import SessionOptions
from madang.sdk.pack import DEFAULT_LIMIT, Manifest
from madang.sdk.policies import AsyncPolicies
from madang.sdk.sessions import AsyncSessions
from madang.sdk.tokens import AsyncTokens
from madang.sdk.unpack import Unpacked
from madang.sdk.uploads import AsyncUploads
from madang.sdk.usage import AsyncUsage, By


class Exec:
    """A running process. Closing it kills the process if it still runs. Threads may read and write at the same time."""

    def __init__(self, process: AsyncExec, bridge: Bridge) -> None:
        self._process = process
        self._bridge = bridge

    def __enter__(self) -> Exec:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        """Send bytes to its standard input; waits while too many are under way. Ignored once it has ended."""
        self._bridge.run(self._process.write(data))

    def close_stdin(self) -> None:
        """End its standard input; on a terminal this is Ctrl-D."""
        self._bridge.run(self._process.close_stdin())

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal its size."""
        self._bridge.run(self._process.resize(rows, columns))

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._bridge.run(self._process.signal(number))

    def output(self) -> Iterator[tuple[Stream, bytes]]:
        """Its output until it ends; on a terminal all of it is stdout."""
        return self._bridge.iterate(self._process.output())

    def wait(self) -> ExitReport:
        """How it ended. Output that nobody has taken is thrown away."""
        return self._bridge.run(self._process.wait())

    def close(self) -> None:
        """Kill it if it runs."""
        self._bridge.run(self._process.close())


class Sessions:
    """`ref` is everywhere a session's id, or its name."""

    def __init__(self, sessions: AsyncSessions, bridge: Bridge) -> None:
        self._sessions = sessions
        self._bridge = bridge

    def create(
        self, command: Sequence[str] = (), *, idempotency_key: str | None = None, **options: Unpack[SessionOptions]
    ) -> Session:
        """Start a session; returns as soon as it is accepted. See AsyncSessions.create and SessionOptions."""
        return self._bridge.run(self._sessions.create(command, idempotency_key=idempotency_key, **options))

    def plan(self, command: Sequence[str] = (), **options: Unpack[SessionOptions]) -> PlanAnswer:
        """What `create` with the same arguments would lead to now; nothing is kept of it."""
        return self._bridge.run(self._sessions.plan(command, **options))

    def get(self, ref: str) -> Session:
        """Raises NotFound."""
        return self._bridge.run(self._sessions.get(ref))

    def list(
        self,
        *,
        states: Sequence[SessionState] = (),
        kind: SessionKind | None = None,
        name: str | None = None,
        project: str | None = None,
        page_size: int = 100,
    ) -> Iterator[Session]:
        """All sessions you may see, newest first, asked for page by page."""
        return self._bridge.iterate(
            self._sessions.list(states=states, kind=kind, name=name, project=project, page_size=page_size)
        )

    def stop(self, ref: str, grace_seconds: float = 10) -> Session:
        """Ask it to end, and kill it after the grace time. Returns before it has ended: see `wait`."""
        return self._bridge.run(self._sessions.stop(ref, grace_seconds))

    def delete(self, ref: str) -> None:
        """Delete an ended session with its output and files. Raises Conflict while it lives."""
        self._bridge.run(self._sessions.delete(ref))

    def usage(self, ref: str) -> Usage | None:
        """What it uses now; None when it does not run."""
        return self._bridge.run(self._sessions.usage(ref))

    def logs(self, ref: str, *, cursor: int = 0, follow: bool = True) -> Iterator[LogPiece]:
        """Its output from `cursor` on, without gap or repetition. See AsyncSessions.logs."""
        return self._bridge.iterate(self._sessions.logs(ref, cursor=cursor, follow=follow))

    def events(self, ref: str, *, after: str | None = None, follow: bool = True) -> Iterator[Event]:
        """What happens to it, from its beginning (or behind event `after`) to its end."""
        return self._bridge.iterate(self._sessions.events(ref, after=after, follow=follow))

    def wait(self, ref: str, timeout: float | None = None) -> Session:
        """The session once it has ended. Raises TimeoutError after `timeout` seconds; the session goes on then."""
        return self._bridge.run(self._sessions.wait(ref, timeout))

    def exec(
        self,
        ref: str,
        command: Sequence[str],
        *,
        variables: Mapping[str, str] | None = None,
        terminal: bool = False,
        rows: int = 24,
        columns: int = 80,
    ) -> Exec:
        """Run a further process in a running session. Close the result, or use it in `with`."""
        work = self._sessions.exec(ref, command, variables=variables, terminal=terminal, rows=rows, columns=columns)
        return Exec(self._bridge.run(work), self._bridge)


class Files:
    """Paths are relative to the work directory. Errors of all: NotFound, Conflict before the session has a node."""

    def __init__(self, files: AsyncFiles, bridge: Bridge) -> None:
        self._files = files
        self._bridge = bridge

    def list(self, ref: str, path: str = "") -> list[FileEntry]:
        """The entries of a directory."""
        return self._bridge.run(self._files.list(ref, path))

    def read(self, ref: str, path: str) -> bytes:
        """A whole file in memory; use `download` for large ones."""
        return self._bridge.run(self._files.read(ref, path))

    @contextlib.contextmanager
    def open(self, ref: str, path: str) -> Iterator[Iterator[bytes]]:
        """A file as it arrives: `with files.open(...) as chunks`."""
        with self._bridge.entered(self._files.open(ref, path)) as chunks:
            yield self._bridge.iterate(chunks)

    def download(self, ref: str, path: str, target: Path, progress: Progress | None = None) -> None:
        """Save a file at `target`, which is replaced only when all of it has arrived."""
        self._bridge.run(self._files.download(ref, path, target, progress))

    def write(self, ref: str, path: str, data: Source) -> None:
        """Create or replace a file: it is there as a whole, or as it was before."""
        self._bridge.run(self._files.write(ref, path, data))

    def delete(self, ref: str, path: str) -> None:
        """Delete a file, or a directory with all beneath it."""
        self._bridge.run(self._files.delete(ref, path))

    def upload_directory(
        self,
        ref: str,
        directory: Path,
        path: str = "",
        *,
        limit_bytes: int = DEFAULT_LIMIT,
        progress: Progress | None = None,
    ) -> None:
        """Put what is in a local directory beneath `path`, but what its .gitignore files leave out."""
        self._bridge.run(self._files.upload_directory(ref, directory, path, limit_bytes=limit_bytes, progress=progress))

    def write_archive(self, ref: str, path: str, archive: Source) -> None:
        """Unpack a tar archive, plain or gzip, beneath `path`."""
        self._bridge.run(self._files.write_archive(ref, path, archive))

    @contextlib.contextmanager
    def open_archive(self, ref: str, path: str = "") -> Iterator[Iterator[bytes]]:
        """A file or directory as a tar archive as it arrives."""
        with self._bridge.entered(self._files.open_archive(ref, path)) as chunks:
            yield self._bridge.iterate(chunks)

    def download_directory(self, ref: str, path: str, directory: Path, progress: Progress | None = None) -> Unpacked:
        """Unpack a file or directory beneath a local directory, safely. See AsyncFiles.download_directory."""
        return self._bridge.run(self._files.download_directory(ref, path, directory, progress))


class Uploads:
    """What a session finds in its work directory when it starts."""

    def __init__(self, uploads: AsyncUploads, bridge: Bridge) -> None:
        self._uploads = uploads
        self._bridge = bridge

    def create(
        self, source: Source | Manifest, *, limit_bytes: int = DEFAULT_LIMIT, progress: Progress | None = None
    ) -> Upload:
        """Send a directory, a tar file, or a tar stream. See AsyncUploads.create."""
        return self._bridge.run(self._uploads.create(source, limit_bytes=limit_bytes, progress=progress))


class Nodes:
    """Machines that run sessions."""

    def __init__(self, nodes: AsyncNodes, bridge: Bridge) -> None:
        self._nodes = nodes
        self._bridge = bridge

    def list(self) -> list[NodeState]:
        """All nodes, with what they offer and what of it is taken."""
        return self._bridge.run(self._nodes.list())

    def get(self, name: str) -> NodeState:
        """Raises NotFound."""
        return self._bridge.run(self._nodes.get(name))

    def update(self, name: str, *, resource_group: str) -> NodeState:
        """Put a node into another resource group. For administrators."""
        return self._bridge.run(self._nodes.update(name, resource_group=resource_group))


class Environments:
    """What a container can run."""

    def __init__(self, environments: AsyncEnvironments, bridge: Bridge) -> None:
        self._environments = environments
        self._bridge = bridge

    def list(self) -> list[EnvironmentStatus]:
        """All environments, built or not."""
        return self._bridge.run(self._environments.list())

    def get(self, name: str) -> EnvironmentStatus:
        """Raises NotFound. While it is being built, `progress` and `message` tell how far."""
        return self._bridge.run(self._environments.get(name))

    def build(self, name: str) -> EnvironmentStatus:
        """Start making it ready in the background; ask `get` how far it is."""
        return self._bridge.run(self._environments.build(name))


class Groups:
    """Sets of nodes with one queue and its own policy."""

    def __init__(self, groups: AsyncGroups, bridge: Bridge) -> None:
        self._groups = groups
        self._bridge = bridge

    def list(self) -> list[ResourceGroup]:
        """Those that are open to you."""
        return self._bridge.run(self._groups.list())

    def get(self, name: str) -> ResourceGroup:
        """Raises NotFound."""
        return self._bridge.run(self._groups.get(name))

    def set(
        self, name: str, policy: GroupPolicy, access: GroupAccess | Literal["everybody"] | None = None
    ) -> ResourceGroup:
        """Make a resource group, or change it. See AsyncGroups.set."""
        return self._bridge.run(self._groups.set(name, policy, access))

    def delete(self, name: str) -> None:
        """Delete a resource group without nodes and live sessions. Raises Conflict, Forbidden, NotFound."""
        self._bridge.run(self._groups.delete(name))


class Tokens:
    """Your own access tokens."""

    def __init__(self, tokens: AsyncTokens, bridge: Bridge) -> None:
        self._tokens = tokens
        self._bridge = bridge

    def list(self) -> list[Token]:
        """Newest first, without those that have been revoked."""
        return self._bridge.run(self._tokens.list())

    def create(
        self, label: str, *, expires_at: datetime | None = None, scopes: Sequence[Scope] | None = None
    ) -> NewToken:
        """Make one, of which the secret is only in this answer. See AsyncTokens.create."""
        return self._bridge.run(self._tokens.create(label, expires_at=expires_at, scopes=scopes))

    def revoke(self, token_id: str) -> None:
        """Take one back. Raises NotFound."""
        self._bridge.run(self._tokens.revoke(token_id))


class Policies:
    """Limits with a name, laid upon users, projects and domains."""

    def __init__(self, policies: AsyncPolicies, bridge: Bridge) -> None:
        self._policies = policies
        self._bridge = bridge

    def list(self) -> list[Policy]:
        """By name."""
        return self._bridge.run(self._policies.list())

    def set(self, name: str, limits: PolicyLimits) -> Policy:
        """Make a policy, or give it other limits. See AsyncPolicies.set."""
        return self._bridge.run(self._policies.set(name, limits))

    def delete(self, name: str) -> None:
        """Delete a policy that is laid upon nobody. Raises NotFound, Conflict, Forbidden."""
        self._bridge.run(self._policies.delete(name))

    def lay(self, policy: str | None, holder: PolicyHolder) -> None:
        """Lay a policy upon somebody, or with None take away what is laid there."""
        self._bridge.run(self._policies.lay(policy, holder))


class Usages:
    """What was held of slots and devices, and for how long."""

    def __init__(self, usage: AsyncUsage, bridge: Bridge) -> None:
        self._usage = usage
        self._bridge = bridge

    def report(self, by: By = "user", *, month: str | None = None, timezone: str = "UTC") -> UsageReport:
        """Of a month such as `2026-11`, or the present one. Raises InvalidInput."""
        return self._bridge.run(self._usage.report(by, month=month, timezone=timezone))


class Audit:
    """Who changed what. For administrators, of the site or of a domain."""

    def __init__(self, audit: AsyncAudit, bridge: Bridge) -> None:
        self._audit = audit
        self._bridge = bridge

    def list(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        target: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[AuditEntry]:
        """Newest first, asked for page by page. See AsyncAudit.list."""
        return self._bridge.iterate(
            self._audit.list(actor=actor, action=action, target=target, since=since, until=until)
        )

    def retention(self) -> float:
        """For how many days it is kept; 0: for ever."""
        return self._bridge.run(self._audit.retention())

    def keep(self, days: float) -> None:
        """Keep it for so many days, 0: for ever. What is older is deleted."""
        self._bridge.run(self._audit.keep(days))


class Reservations:
    """Room that is kept for some users at some times."""

    def __init__(self, reservations: AsyncReservations, bridge: Bridge) -> None:
        self._reservations = reservations
        self._bridge = bridge

    def list(self) -> list[Reservation]:
        """Those you may use; an administrator sees all."""
        return self._bridge.run(self._reservations.list())

    def get(self, name: str) -> Reservation:
        """Raises NotFound, also for one that is not for you."""
        return self._bridge.run(self._reservations.get(name))

    def create(
        self,
        name: str,
        *,
        slots: Mapping[str, str | int],
        users: Sequence[str],
        resource_group: str = DEFAULT_GROUP,
        models: Sequence[str] = (),
        days: Sequence[Day] = (),
        start: str | None = None,
        end: str | None = None,
        timezone: str = "UTC",
        starts_at: datetime | None = None,
        ends_at: datetime | None = None,
    ) -> Reservation:
        """Keep room for users, every week or once. See AsyncReservations.create."""
        return self._bridge.run(
            self._reservations.create(
                name,
                slots=slots,
                users=users,
                resource_group=resource_group,
                models=models,
                days=days,
                start=start,
                end=end,
                timezone=timezone,
                starts_at=starts_at,
                ends_at=ends_at,
            )
        )

    def delete(self, name: str) -> None:
        """Keep no room any longer. Raises Forbidden, NotFound."""
        self._bridge.run(self._reservations.delete(name))
