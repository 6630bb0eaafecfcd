"""Sessions in memory, so that the API and the SDK can be tested alone."""

from __future__ import annotations

import asyncio
import io
import itertools
import tarfile
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

from madang.agent.base import ExecProcess
from madang.domain.errors import (
    Conflict,
    IdempotencyMismatch,
    InvalidInput,
    NameInUse,
    NotFound,
)
from madang.domain.ids import new_id
from madang.domain.names import check_variables, relative_path
from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.domain.session import ENDED, ExitReason, SessionKind, SessionState
from madang.domain.slots import Slots
from madang.domain.why import Why, WhyCode, sentence
from madang.schemas.agent import (
    ExecSpec,
    ExitReport,
    FileEntry,
    LogChunk,
    Stream,
    Usage,
)
from madang.schemas.api import (
    Event,
    Page,
    PlanAnswer,
    PlannedContainer,
    Session,
    SessionCreate,
    SessionExit,
    SessionQuery,
    Waiting,
)
from madang.services.sessions import SessionService


def now() -> datetime:
    return datetime.now(UTC)


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
