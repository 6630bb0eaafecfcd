"""Makes the HTTP application from the use cases."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import APIRouter, FastAPI

from madang import __version__
from madang.api import errors
from madang.api.direct import DirectRoute, DirectRoutes
from madang.api.document import make_document
from madang.api.guard import Guard
from madang.api.routers import (
    account,
    audit,
    budgets,
    domains,
    environments,
    exec,
    files,
    groups,
    invitations,
    keys,
    nodes,
    openid,
    policies,
    presets,
    prices,
    project_tokens,
    projects,
    reservations,
    server,
    sessions,
    shares,
    sign_in,
    site,
    streams,
    tokens,
    uploads,
    usage,
    users,
)
from madang.api.signed import SignedBodies
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
    presets.router,
    reservations.router,
    environments.router,
    uploads.router,
    tokens.router,
    openid.router,
    keys.router,
    audit.router,
    policies.router,
    usage.router,
    prices.router,
    budgets.router,
    site.router,
    shares.router,
    domains.router,
    projects.router,
    project_tokens.router,
    users.router,
    invitations.router,
    account.router,
    sign_in.router,
)


def _optional(services: Services | None) -> list[APIRouter]:
    """Routes that are only there when they are set up."""
    if services is None:
        return []
    ways = services.sign_in.ways()
    return [*([sign_in.mailed] if ways.password_link else []), *([sign_in.sign_up] if ways.sign_up else [])]


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
        telemetry={"tracing": False, "metrics": False, "logs": False},  # looked up at every request otherwise
    )
    app.state.services = services
    app.state.public_url = services.public_url if services is not None else None
    app.state.closing = asyncio.Event()
    for router in (*_ROUTERS, *_optional(services)):
        # Not by include_router, which matches the parts of a path anew on each level: a third of the time of a request.
        app.router.routes.extend(router.routes)
    errors.install(app)
    notice = services.notices.header if services is not None else None
    app.add_middleware(DirectRoutes, routes=[one for one in app.routes if isinstance(one, DirectRoute)])
    app.add_middleware(SignedBodies)
    app.add_middleware(Guard, host=host, public_url=app.state.public_url, notice=notice)
    app.openapi = lambda: make_document(app)  # type: ignore[method-assign]
    return app
