"""How long-lived connections learn that the server is stopping."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from starlette.requests import HTTPConnection


def begin_shutdown(app: FastAPI) -> None:
    """End all event streams and exec sockets of `app`, so that a graceful stop need not wait for them."""
    closing: asyncio.Event = app.state.closing
    closing.set()


def closing_of(connection: HTTPConnection) -> asyncio.Event:
    """The event that is set once the server begins to stop."""
    closing: asyncio.Event = connection.app.state.closing
    return closing
