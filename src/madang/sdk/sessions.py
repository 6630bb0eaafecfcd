"""Sessions, asynchronously: start, follow, stop, and run further processes in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Unpack

from madang.domain.ids import new_id
from madang.domain.session import ENDED, SessionKind, SessionState
from madang.schemas.agent import ExecSpec, Usage
from madang.schemas.api import Event, LogEvent, Page, PlanAnswer, Session, SessionStop
from madang.sdk._transport import API, JSON, Transport
from madang.sdk.exec import AsyncExec
from madang.sdk.models import LogPiece
from madang.sdk.options import SessionOptions, session_request

_PATH: Final = f"{API}/sessions"


class AsyncSessions:
    """`ref` is everywhere a session's id, or its name."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(
        self, command: Sequence[str] = (), *, idempotency_key: str | None = None, **options: Unpack[SessionOptions]
    ) -> Session:
        """Start a session; returns as soon as it is accepted. It is sent again safely when the connection breaks.

        What may be asked for is in SessionOptions. Raises InvalidInput, ImpossibleRequest, NameInUse, Forbidden, and
        NotFound for an unknown upload, reservation, or session to wait for.
        """
        response = await self._transport.call(
            "POST",
            _PATH,
            body=session_request(command, options).model_dump_json().encode(),
            headers={**JSON, "Idempotency-Key": idempotency_key or new_id()},
        )
        return self._transport.parse(Session, response.content)

    async def plan(self, command: Sequence[str] = (), **options: Unpack[SessionOptions]) -> PlanAnswer:
        """What `create` with the same arguments would lead to now; nothing is kept of it. Raises the same."""
        body = session_request(command, options).model_dump_json().encode()
        response = await self._transport.call("POST", f"{_PATH}:plan", body=body, headers=JSON)
        return self._transport.parse(PlanAnswer, response.content)

    async def get(self, ref: str) -> Session:
        """Raises NotFound."""
        return await self._transport.get(Session, f"{_PATH}/{ref}")

    async def list(
        self,
        *,
        states: Sequence[SessionState] = (),
        kind: SessionKind | None = None,
        name: str | None = None,
        project: str | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[Session]:
        """All sessions you may see, newest first, asked for page by page."""
        params: dict[str, str | int | bool | list[str]] = {"limit": page_size, "state": [str(s) for s in states]}
        if kind is not None:
            params["kind"] = str(kind)
        if name is not None:
            params["name"] = name
        if project is not None:
            params["project"] = project
        while True:
            page = await self._transport.get(Page[Session], _PATH, params)
            for session in page.items:
                yield session
            if page.next is None:
                return
            params["cursor"] = page.next

    async def stop(self, ref: str, grace_seconds: float = 10) -> Session:
        """Ask it to end, and kill it after the grace time. Returns before it has ended: see `wait`."""
        body = SessionStop(grace_seconds=grace_seconds).model_dump_json().encode()
        response = await self._transport.call("POST", f"{_PATH}/{ref}/stop", body=body, headers=JSON)
        return self._transport.parse(Session, response.content)

    async def delete(self, ref: str) -> None:
        """Delete an ended session with its output and files. Raises Conflict while it lives."""
        await self._transport.call("DELETE", f"{_PATH}/{ref}")

    async def usage(self, ref: str) -> Usage | None:
        """What it uses now; None when it does not run."""
        content = (await self._transport.call("GET", f"{_PATH}/{ref}/usage")).content
        return None if content == b"null" else self._transport.parse(Usage, content)

    async def logs(self, ref: str, *, cursor: int = 0, follow: bool = True) -> AsyncIterator[LogPiece]:
        """Its output from `cursor` on (negative: that many bytes before the end), until it has ended.

        A connection that breaks, or a server that restarts, is survived without gap or repetition. Without `follow` it
        ends where the output ends now.
        """
        params = {"cursor": cursor, "follow": follow}
        async for event in self._transport.follow(f"{_PATH}/{ref}/logs", params):
            if event.name == "log":
                piece = self._transport.parse(LogEvent, event.data.encode())
                yield LogPiece.read(piece, int(event.id or 0))

    async def events(self, ref: str, *, after: str | None = None, follow: bool = True) -> AsyncIterator[Event]:
        """What happens to it, from its beginning (or behind event `after`) to its end."""
        async for event in self._transport.follow(f"{_PATH}/{ref}/events", {"follow": follow}, after):
            if event.name == "event":
                yield self._transport.parse(Event, event.data.encode())

    async def wait(self, ref: str, timeout: float | None = None) -> Session:  # noqa: ASYNC109  for people
        """The session once it has ended. Raises TimeoutError after `timeout` seconds; the session goes on then."""
        async with asyncio.timeout(timeout):
            session = await self.get(ref)
            while session.state not in ENDED:
                async for _ in self.events(session.id):
                    pass
                session = await self.get(session.id)
        return session

    async def exec(
        self,
        ref: str,
        command: Sequence[str],
        *,
        variables: Mapping[str, str] | None = None,
        terminal: bool = False,
        rows: int = 24,
        columns: int = 80,
    ) -> AsyncExec:
        """Run a further process in a running session. Close the result, or use it in `async with`.

        Raises NotFound, and Conflict unless the session is running.
        """
        spec = ExecSpec(
            command=list(command), variables=dict(variables or {}), terminal=terminal, rows=rows, columns=columns
        )
        return await AsyncExec.open(self._transport.connection, f"{_PATH}/{ref}/exec", spec)
