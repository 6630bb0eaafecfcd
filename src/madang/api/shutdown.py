"""How long-lived connections learn that they have to end: the server stops, or the caller may no longer go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

from fastapi import FastAPI
from starlette.requests import HTTPConnection

from madang.domain.people import Caller
from madang.domain.rights import Right
from madang.services import Services

End = Literal["stopping", "revoked"]
Ends = Callable[[], Awaitable[End]]
"""Returns when the connection has to end, with the reason; it may be cancelled."""


def begin_shutdown(app: FastAPI) -> None:
    """End all event streams and exec sockets of `app`, so that a graceful stop need not wait for them."""
    closing: asyncio.Event = app.state.closing
    closing.set()


def ends_of(
    connection: HTTPConnection, caller: Caller, services: Services, session: tuple[str, Right] | None = None
) -> Ends:
    """When a connection of a caller has to end: the server begins to stop, or what the caller may do has changed, in
    general or with this session, as when it is shared no more."""
    closing: asyncio.Event = connection.app.state.closing
    allow = None if session is None else partial(services.sessions.allow, caller, *session)

    async def wait() -> End:
        stopping = asyncio.create_task(closing.wait())
        changed = asyncio.create_task(services.tokens.changed(caller, allow))
        try:
            await asyncio.wait([stopping, changed], return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                return "stopping"
            await changed
            return "revoked"
        finally:
            stopping.cancel()
            changed.cancel()

    return wait
