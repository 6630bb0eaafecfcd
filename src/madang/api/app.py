"""Makes the HTTP application from the use cases."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import FastAPI

from madang import __version__
from madang.api import errors
from madang.api.document import make_document
from madang.api.guard import Guard
from madang.api.routers import (
    audit,
    domains,
    environments,
    exec,
    files,
    groups,
    nodes,
    policies,
    projects,
    reservations,
    server,
    sessions,
    shares,
    streams,
    tokens,
    uploads,
    usage,
    users,
)
from madang.api.wire import API
from madang.services import Services

_ROUTERS: Final = (  # the busiest first
    sessions.reads,
    sessions.router,
    streams.router,
    exec.router,
    files.router,
    server.probes,
    server.router,
    nodes.router,
    groups.router,
    reservations.router,
    environments.router,
    uploads.router,
    tokens.router,
    audit.router,
    policies.router,
    usage.router,
    shares.router,
    domains.router,
    projects.router,
    users.router,
)


def create_app(services: Services | None, *, host: str = "127.0.0.1") -> FastAPI:
    """The application on `services`; `host` is where it listens, which decides what Host headers it answers to.

    Without services it serves nothing and is only good for its document.
    """
    app = FastAPI(
        title="Madang",
        version=__version__,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.closing = asyncio.Event()
    for router in _ROUTERS:
        # Not by include_router, which matches the parts of a path anew on each level: a third of the time of a request.
        app.router.routes.extend(router.routes)
    errors.install(app)
    app.add_middleware(Guard, host=host)
    app.openapi = lambda: make_document(app)  # type: ignore[method-assign]
    return app
