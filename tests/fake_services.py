"""Use cases in memory, so that the API and the SDK can be tested alone; and a server for them in a thread."""

from __future__ import annotations

import asyncio
import io
import itertools
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry

from madang.agent.base import ExecProcess
from madang.api.app import create_app
from madang.api.server import ApiServer
from madang.db.rows import Holder
from madang.domain.errors import (
    Conflict,
    IdempotencyMismatch,
    InvalidInput,
    NameInUse,
    NotFound,
    TooLarge,
    Unauthorized,
)
from madang.domain.ids import new_id
from madang.domain.names import check_variables, relative_path
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.domain.session import ENDED, ExitReason, SessionKind, SessionState
from madang.domain.slots import Slots
from madang.domain.why import Why, WhyCode, sentence
from madang.schemas.agent import (
    EnvironmentState,
    EnvironmentStatus,
    ExecSpec,
    ExitReport,
    FileEntry,
    Limits,
    LogChunk,
    NodeReport,
    Stream,
    Usage,
)
from madang.schemas.api import (
    AuditEntry,
    DeviceState,
    Event,
    Health,
    NodeState,
    NodeUpdate,
    Page,
    PlanAnswer,
    PlannedContainer,
    Policy,
    PolicyLimits,
    Session,
    SessionCreate,
    SessionExit,
    SessionQuery,
    Upload,
    UsageReport,
    Waiting,
)
from madang.schemas.sign_in import SignInWays
from madang.services import Services
from madang.services.account import AccountService
from madang.services.audit import AuditFilter, AuditService
from madang.services.budgets import BudgetService
from madang.services.domains import DomainService
from madang.services.environments import EnvironmentService
from madang.services.health import HealthService
from madang.services.invitations import InvitationService
from madang.services.keys import KeyService
from madang.services.metrics import Metrics
from madang.services.nodes import NodeService
from madang.services.openid import OpenIdService
from madang.services.password_links import PasswordLinkService
from madang.services.policies import PolicyService
from madang.services.presets import PresetService
from madang.services.prices import PriceService
from madang.services.projects import ProjectService
from madang.services.robots import ProjectTokenService
from madang.services.roster import RosterService
from madang.services.sessions import SessionService
from madang.services.sharing import SharingService
from madang.services.sign_in import SignInService
from madang.services.site_key import SiteKey
from madang.services.streams import StreamService
from madang.services.tokens import TokenService
from madang.services.uploads import UploadService
from madang.services.usage import By, UsageService
from madang.services.users import UserService
from tests.fake_groups import Groups, Notices, Reservations
from tests.loop_thread import LoopThread

T = TypeVar("T")
TOKEN = "mdg_" + "t" * 43
ALICE = Caller(user_id="0" * 26, name="alice", role="admin")
UPLOAD_LIMIT = 1 << 20


def now() -> datetime:
    return datetime.now(UTC)


class Tokens(TokenService):
    def __init__(self) -> None:
        self.revoked = asyncio.Event()

    async def authenticate(self, token: str) -> Caller:
        if token != TOKEN:
            raise Unauthorized("This token is unknown.")
        return ALICE

    async def changed(self, caller: Caller, allow: Callable[[], Awaitable[object]] | None = None) -> None:
        await self.revoked.wait()


class Audits(AuditService):
    def __init__(self) -> None:
        pass

    async def list(
        self, caller: Caller, wanted: AuditFilter = AuditFilter(), *, limit: int = 50, cursor: str | None = None
    ) -> Page[AuditEntry]:
        return Page[AuditEntry](items=[])


class Policies(PolicyService):
    def __init__(self) -> None:
        pass

    async def list(self, caller: Caller) -> Sequence[Policy]:
        return []

    async def put(self, caller: Caller, name: str, limits: PolicyLimits) -> Policy:
        return Policy(name=name, limits=limits, holders=[], created_at=now())

    async def delete(self, caller: Caller, name: str) -> None:
        raise NotFound(f"There is no policy '{name}'.")

    async def lay(self, caller: Caller, policy: str | None, upon: Holder, name: str) -> None:
        pass


class Usages(UsageService):
    def __init__(self) -> None:
        pass

    async def report(self, caller: Caller, by: By, when: str | None = None, timezone: str = "UTC") -> UsageReport:
        return UsageReport(by=by, since=now(), until=now(), currency="KRW", cost="0", rows=[])


class FakeExec:
    """Echoes its standard input to stdout; `command` scripts the rest."""

    def __init__(self, spec: ExecSpec) -> None:
        self.spec = spec
        self.closed = asyncio.Event()
        self.signals: list[int] = []
        self.sizes: list[tuple[int, int]] = []
        self.unread = asyncio.Event()  # set by a test: stdin is taken again
        if spec.command[0] != "blocked":
            self.unread.set()
        self._queue: asyncio.Queue[tuple[Stream, bytes] | None] = asyncio.Queue()
        if spec.command[0] == "yes":
            size = int(spec.command[1])
            for _ in range(size // 65536):
                self._queue.put_nowait(("stdout", b"y" * 65536))
            self._queue.put_nowait(None)

    async def write(self, data: bytes) -> None:
        await self.unread.wait()
        self._queue.put_nowait(("stdout", data))

    async def close_stdin(self) -> None:
        self._queue.put_nowait(("stderr", b"bye"))
        self._queue.put_nowait(None)

    async def resize(self, rows: int, columns: int) -> None:
        self.sizes.append((rows, columns))

    async def signal(self, number: int) -> None:
        self.signals.append(number)
        self._queue.put_nowait(None)

    async def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        while (item := await self._queue.get()) is not None:
            yield item

    async def wait(self) -> ExitReport:
        if self.signals:
            return ExitReport(reason=ExitReason.SIGNAL, signal=self.signals[0])
        return ExitReport(reason=ExitReason.EXITED, code=3)

    async def close(self) -> None:
        self.closed.set()


class Sessions(SessionService):
    """Sessions that do what a test tells them."""

    def __init__(self) -> None:
        self.all: dict[str, Session] = {}
        self.keys: dict[str, tuple[SessionCreate, str]] = {}
        self.files: dict[str, bytes] = {}
        self.logs: dict[str, list[LogChunk]] = {}
        self.events: list[Event] = []
        self.execs: list[FakeExec] = []
        self.planned: list[SessionCreate] = []
        self.changed = asyncio.Condition()
        self.drop_after: int | None = None  # log pieces until a stream breaks off with an exception
        self._numbers = itertools.count(1)

    async def create(self, caller: Caller, request: SessionCreate, idempotency_key: str | None = None) -> Session:
        if idempotency_key is not None and idempotency_key in self.keys:
            before, made = self.keys[idempotency_key]
            if before != request:
                raise IdempotencyMismatch("This key was used for another request.")
            return self.all[made]
        slots = Slots.parse(request.slots)
        check_variables(request.variables)
        if request.kind is SessionKind.BATCH and not request.command:
            raise InvalidInput("A batch session needs a command.")
        if request.name is not None and any(s.name == request.name for s in self._live()):
            raise NameInUse(f"You have a live session called '{request.name}'.")
        session = Session(
            id=new_id(),
            name=request.name or f"s{next(self._numbers)}",
            owner=caller.name,
            kind=request.kind,
            state=SessionState.RUNNING,
            reason="",
            environment=request.environment,
            command=request.command,
            variables=request.variables,
            slots=dict(slots),
            processes=request.processes,
            network=request.network or "none",
            node="here",
            exit=None,
            created_at=now(),
            started_at=now(),
            ended_at=None,
        )
        self.all[session.id] = session
        self.logs[session.id] = []
        if idempotency_key is not None:
            self.keys[idempotency_key] = (request, session.id)
        await self._event(session, "session.running")
        return session

    def _live(self) -> list[Session]:
        return [s for s in self.all.values() if s.state not in ENDED]

    async def _event(self, session: Session, kind: str) -> None:
        event = Event(id=f"0-{len(self.events) + 1}", at=now(), kind=kind, session=session.id, data={})
        self.events.append(event)
        async with self.changed:
            self.changed.notify_all()

    async def say(self, ref: str, data: bytes, stream: Stream = "stdout") -> None:
        """A session writes something."""
        pieces = self.logs[ref]
        cursor = (pieces[-1].cursor if pieces else 0) + len(data)
        pieces.append(LogChunk(cursor=cursor, stream=stream, at=now(), data=data))
        async with self.changed:
            self.changed.notify_all()

    async def end(self, ref: str, state: SessionState = SessionState.SUCCEEDED) -> None:
        ended = {"state": state, "ended_at": now(), "exit": SessionExit(reason=ExitReason.EXITED, code=0)}
        self.all[ref] = self.all[ref].model_copy(update=ended)
        await self._event(self.all[ref], f"session.{state}")

    async def plan(self, caller: Caller, request: SessionCreate) -> PlanAnswer:
        self.planned.append(request)
        slots = Slots.parse(request.slots)
        if not slots.amount("cuda.device"):
            placements = [PlannedContainer(rank=rank, node="here", devices=[]) for rank in range(request.size)]
            return PlanAnswer(starts=True, placements=placements, reason="", waiting=None, would_preempt=[])
        values: dict[str, str | int | float] = {
            "group": "default",
            "node": "here",
            "device": "GPU",
            "devices": slots.amount("cuda.device"),
            "devices_free": 1,
            "position": 3,
            "of": 7,
        }
        why = Why(WhyCode.SHORTAGE, values)
        start = now() + timedelta(hours=2)
        waiting = Waiting(code=why.code, values=values, position=3, of=7, estimated_start=start)
        return PlanAnswer(starts=False, placements=[], reason=sentence(why), waiting=waiting, would_preempt=[])

    async def allow(self, caller: Caller, ref: str, right: Right) -> str:
        return (await self.get(caller, ref)).id

    async def get(self, caller: Caller, ref: str) -> Session:
        for session in reversed(self.all.values()):
            if ref in (session.id, session.name):
                return session
        raise NotFound(f"There is no session '{ref}'.")

    async def get_json(self, caller: Caller, ref: str) -> str:
        return (await self.get(caller, ref)).model_dump_json()

    async def list_json(self, caller: Caller, asked: SessionQuery) -> str:
        found = [
            s
            for s in reversed(self.all.values())
            if (not asked.state or s.state in asked.state)
            and asked.name in (None, s.name)
            and asked.kind in (None, s.kind)
            and asked.project in (None, s.project)
            and (asked.cursor is None or s.id < asked.cursor)
        ]
        last = found[asked.limit - 1].id if len(found) > asked.limit else None
        return Page[Session](items=found[: asked.limit], next=last).model_dump_json()

    async def stop(self, caller: Caller, ref: str, grace_seconds: float = 10) -> Session:
        session = await self.get(caller, ref)
        if session.state not in ENDED:
            await self.end(session.id, SessionState.STOPPED)
        return self.all[session.id]

    async def delete(self, caller: Caller, ref: str) -> None:
        session = await self.get(caller, ref)
        if session.state not in ENDED:
            raise Conflict("Stop the session first.")
        del self.all[session.id]

    async def usage(self, caller: Caller, ref: str) -> Usage | None:
        if (await self.get(caller, ref)).state in ENDED:
            return None
        return Usage(at=now(), cpu_seconds=1.5, mem_bytes=1, mem_peak_bytes=2, processes=1)

    async def exec(self, caller: Caller, ref: str, spec: ExecSpec) -> ExecProcess:
        session = await self.get(caller, ref)
        if session.state in ENDED:
            raise Conflict("The session has ended.")
        self.execs.append(FakeExec(spec))
        return self.execs[-1]

    async def list_files(self, caller: Caller, ref: str, path: str = "") -> Sequence[FileEntry]:
        await self.get(caller, ref)
        prefix = "".join(f"{part}/" for part in relative_path(path))
        names = sorted(name for name in self.files if name.startswith(prefix))
        return [FileEntry(path=n, kind="file", size=len(self.files[n]), modified_at=now()) for n in names]

    async def read_file(self, caller: Caller, ref: str, path: str) -> AsyncIterator[bytes]:
        await self.get(caller, ref)
        name = "/".join(relative_path(path))
        if name not in self.files:
            raise NotFound(f"There is no file '{name}'.")
        return _pieces(self.files[name], broken=name == "broken")

    async def write_file(self, caller: Caller, ref: str, path: str, data: AsyncIterator[bytes]) -> None:
        await self.get(caller, ref)
        name = "/".join(relative_path(path))
        if not name:
            raise InvalidInput("Name a file.")
        self.files[name] = b"".join([chunk async for chunk in data])

    async def delete_file(self, caller: Caller, ref: str, path: str) -> None:
        await self.get(caller, ref)
        if self.files.pop("/".join(relative_path(path)), None) is None:
            raise NotFound(f"There is no file '{path}'.")

    async def put_archive(self, caller: Caller, ref: str, archive: AsyncIterator[bytes], path: str = "") -> None:
        await self.get(caller, ref)
        data = b"".join([chunk async for chunk in archive])
        prefix = "".join(f"{part}/" for part in relative_path(path))
        try:
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                for member in tar:
                    if (file := tar.extractfile(member)) is not None:
                        self.files[prefix + "/".join(relative_path(member.name))] = file.read()
        except tarfile.TarError:
            raise InvalidInput("This is no tar archive.") from None

    async def read_archive(self, caller: Caller, ref: str, path: str = "") -> AsyncIterator[bytes]:
        await self.get(caller, ref)
        relative_path(path)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, data in self.files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return _pieces(buffer.getvalue())


async def _pieces(data: bytes, *, broken: bool = False) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 65536):
        yield data[start : start + 65536]
        if broken:
            raise RuntimeError("the disk fell out; secret=hunter2")


class Streams(StreamService):
    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.open = 0
        self.tick = False

    async def logs(
        self, caller: Caller, ref: str, *, cursor: int = 0, follow: bool = True
    ) -> AsyncIterator[LogChunk | None]:
        sessions, sent = self.sessions, 0
        self.open += 1
        try:
            if self.tick:
                yield None
            while True:
                pieces = [piece for piece in sessions.logs[ref] if piece.cursor > cursor]
                for piece in pieces:
                    if sessions.drop_after is not None and sent >= sessions.drop_after:
                        sessions.drop_after = None
                        raise RuntimeError("connection breaks")
                    yield piece
                    sent, cursor = sent + 1, piece.cursor
                if not pieces and (not follow or sessions.all[ref].state in ENDED):
                    return
                if not pieces:
                    async with sessions.changed:
                        await sessions.changed.wait()
        finally:
            self.open -= 1

    async def events(
        self, caller: Caller, *, session: str | None = None, after: str | None = None, follow: bool = True
    ) -> AsyncIterator[Event | None]:
        last = int((after or "0-0").partition("-")[2])
        while True:
            for event in self.sessions.events[last:]:
                last = int(event.id.partition("-")[2])
                if session in (None, event.session):
                    yield event
            if not follow or (session is not None and self.sessions.all[session].state in ENDED):
                return
            async with self.sessions.changed:
                await self.sessions.changed.wait()


class Uploads(UploadService):
    def __init__(self) -> None:
        self.all: dict[str, bytes] = {}

    async def accept(self, caller: Caller, data: AsyncIterator[bytes]) -> Upload:
        content = bytearray()
        async for chunk in data:
            content += chunk
            if len(content) > UPLOAD_LIMIT:
                raise TooLarge("The archive is larger than this server takes.")
        try:
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                tar.getmembers()
        except (tarfile.TarError, EOFError, OSError):
            raise InvalidInput("This is no tar archive.") from None
        made = new_id()
        self.all[made] = bytes(content)
        return Upload(id=made, size=len(content))


class Nodes(NodeService):
    def __init__(self) -> None:
        self.devices: list[DeviceState] = []

    async def list(self, caller: Caller) -> Sequence[NodeState]:
        report = NodeReport(
            name="here",
            architecture="x86_64",
            system="Linux",
            slots={"cpu": 2000},
            runtime="process",
            runtime_reason="",
            isolated=True,
            limits=Limits.ADVISORY,
            limits_reason="a fake",
            networks=["none"],
            networks_reason="",
            version="0",
        )
        state = NodeState(
            name="here",
            state="ready",
            slots={"cpu": 2000},
            used={},
            sessions=0,
            report=report,
            last_seen_at=now(),
            devices=self.devices,
        )
        return [state]

    async def get(self, caller: Caller, name: str) -> NodeState:
        if name != "here":
            raise NotFound(f"There is no node '{name}'.")
        return (await self.list(caller))[0]

    async def update(self, caller: Caller, name: str, change: NodeUpdate) -> NodeState:
        return (await self.get(caller, name)).model_copy(update={"resource_group": change.resource_group})


class Environments(EnvironmentService):
    def __init__(self) -> None:
        pass

    async def list(self, caller: Caller) -> Sequence[EnvironmentStatus]:
        state = EnvironmentState.READY
        return [
            EnvironmentStatus(name="python", description="", state=state, digest="d", packages=["numpy"], python="3")
        ]

    async def get(self, caller: Caller, name: str) -> EnvironmentStatus:
        if name == "explode":
            raise RuntimeError("secret=hunter2")
        if name != "python":
            raise NotFound(f"There is no environment '{name}'.")
        return (await self.list(caller))[0]

    async def build(self, caller: Caller, name: str) -> EnvironmentStatus:
        return await self.get(caller, name)


class Healths(HealthService):
    def __init__(self) -> None:
        self.status: Health = Health(status="ok", components={"database": "ok"})

    async def live(self) -> Health:
        return Health(status="ok", components={})

    async def ready(self) -> Health:
        return self.status


class FakeMetrics(Metrics):
    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    async def render(self, caller: Caller) -> bytes:
        return b"madang_sessions 1\n"


class SignIns(SignInService):
    def __init__(self) -> None:
        pass

    def ways(self) -> SignInWays:
        return SignInWays(password=True, sign_up=False, password_link=False, sources=[])


class FakePlatform:
    """A server over these use cases in a thread; it can be stopped and started again at the same port."""

    def __init__(self) -> None:
        self._loop = LoopThread()
        self.token = TOKEN
        self.server: ApiServer
        self._port = 0
        self.do(self._make())
        self.start()

    async def _make(self) -> None:
        self.sessions = Sessions()
        self.streams = Streams(self.sessions)
        self.health = Healths()
        self.tokens = Tokens()
        self.services = Services(
            sessions=self.sessions,
            # Tested over the real database: what they refuse is what matters of them.
            sharing=SharingService.__new__(SharingService),
            domains=DomainService.__new__(DomainService),
            projects=ProjectService.__new__(ProjectService),
            users=UserService.__new__(UserService),
            nodes=Nodes(),
            groups=Groups(),
            presets=PresetService.__new__(PresetService),
            notices=Notices(),
            reservations=Reservations(),
            environments=Environments(),
            uploads=Uploads(),
            tokens=self.tokens,
            keys=KeyService.__new__(KeyService),
            sign_in=SignIns(),
            openid=OpenIdService.__new__(OpenIdService),
            account=AccountService.__new__(AccountService),
            password_links=PasswordLinkService.__new__(PasswordLinkService),
            signing_up=None,
            site_key=SiteKey.__new__(SiteKey),
            public_url=None,
            project_tokens=ProjectTokenService.__new__(ProjectTokenService),
            invitations=InvitationService.__new__(InvitationService),
            roster=RosterService.__new__(RosterService),
            streams=self.streams,
            health=self.health,
            metrics=FakeMetrics(),
            audit=Audits(),
            policies=Policies(),
            usage=Usages(),
            prices=PriceService.__new__(PriceService),
            budgets=BudgetService.__new__(BudgetService),
        )

    @property
    def url(self) -> str:
        return self.server.url

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the server's event loop."""
        return self._loop.do(work)

    async def revoke(self) -> None:
        """Take the token of everybody back."""
        self.tokens.revoked.set()

    def start(self) -> None:
        async def go() -> None:
            self.server = ApiServer.open(create_app(self.services), "127.0.0.1", self._port)
            await self.server.start()

        self.do(go())
        self._port = int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        self.do(self.server.stop())

    def close(self) -> None:
        self.stop()
        self._loop.close()
