"""The OpenAPI 3.1 document: what FastAPI finds, and what it cannot know."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from madang.api.cookies import COOKIE
from madang.schemas.agent import ExecSpec, ExitReport
from madang.schemas.api import (
    Event,
    GroupPolicy,
    LogEvent,
    NodeUpdate,
    Problem,
    ReservationCreate,
    SessionCreate,
    SessionStop,
    TokenCreate,
)
from madang.schemas.base import Wire
from madang.schemas.machines import KeyCreate, ProjectTokenCreate
from madang.schemas.people import (
    DomainCreate,
    DomainUpdate,
    MemberUpdate,
    ProjectCreate,
    ProjectUpdate,
    ShareUpdate,
    UserCreate,
    UserUpdate,
)
from madang.schemas.sign_in import (
    PasswordChange,
    PasswordLinkUse,
    PasswordReset,
    PasswordSignIn,
    SecondFactorBegin,
    SecondFactorConfirm,
    SecondFactorRemove,
)

_DESCRIPTION: Final = """\
Teams share computers and GPUs for AI work: start sandboxed sessions, follow their output, move files, look at nodes.

Requests carry `Authorization: Bearer TOKEN`, or a signature (docs/signing.md), or the cookie of a browser that is
signed in, then with `X-CSRF-Token` unless they only read. Errors are problem details (RFC 9457) with a stable
`code`. Listings come in pages: pass `next` as `cursor` to get the page behind. Streams are server-sent events that
resume behind `Last-Event-ID`. A further process in a session runs over a WebSocket at
`/api/v1/sessions/{session}/exec`. The client first sends an ExecSpec as a text frame. Binary frames are one byte, 0 for
stdin, 1 for stdout, 2 for stderr, and then data. Text frames of the client are `{"type": "resize", "rows", "columns"}`,
`{"type": "signal", "number"}`, `{"type": "eof"}`; the server's last is `{"type": "exit", "exit": ExitReport}` or
`{"type": "error", "problem": Problem}`. Either side may have 1 MiB of data under way and grants the other more by
`{"type": "window", "bytes"}` as it takes some. The process is killed when the socket closes.
"""

_TAGS: Final = [
    {"name": "server", "description": "The server itself: who am I to it, is it well, what does it count."},
    {"name": "sessions", "description": "What users start: a program in a sandbox, on a node with room for it."},
    {"name": "streams", "description": "Output and changes of state as they happen."},
    {"name": "files", "description": "Files in and out of a session's work directory."},
    {"name": "uploads", "description": "Archives sent ahead of the sessions that use them."},
    {"name": "nodes", "description": "Machines that run sessions."},
    {"name": "groups", "description": "Resource groups: sets of nodes with one queue and its own policy."},
    {"name": "reservations", "description": "Room of a group that is kept for some users at some times."},
    {"name": "environments", "description": "What a container can run."},
    {"name": "domains", "description": "Organisations on one platform."},
    {
        "name": "projects",
        "description": "Teams of a domain, and who is in them. Where a field names a project by its path, that is "
        "`domain/project`, or `project` alone of the domain `default`; in addresses it is always "
        "`/domains/{domain}/projects/{project}`.",
    },
    {"name": "users", "description": "Accounts of people."},
    {"name": "sign-in", "description": "Signing in and out, for programs and for browsers."},
    {"name": "account", "description": "One's own password and second factor, and those of others."},
    {"name": "tokens", "description": "Access tokens of the caller, and of projects."},
    {"name": "keys", "description": "Signing keys of the caller; see docs/signing.md."},
    {"name": "audit", "description": "Who changed what."},
]

_BESIDES: Final[list[type[Wire]]] = [
    Problem,
    SessionCreate,
    SessionStop,
    LogEvent,
    Event,
    ExecSpec,
    ExitReport,
    GroupPolicy,
    NodeUpdate,
    ReservationCreate,
    TokenCreate,
    KeyCreate,
    ProjectTokenCreate,
    DomainCreate,
    DomainUpdate,
    ProjectCreate,
    ProjectUpdate,
    MemberUpdate,
    UserCreate,
    UserUpdate,
    ShareUpdate,
    PasswordSignIn,
    PasswordChange,
    PasswordLinkUse,
    PasswordReset,
    SecondFactorBegin,
    SecondFactorConfirm,
    SecondFactorRemove,
]
"""Models that no route names as its response or parameter, since it reads or writes them as bytes."""

_OPEN: Final = (
    ("/healthz", "get"),
    ("/readyz", "get"),
    ("/api/v1/sign-in", "get"),
    ("/api/v1/sign-in/token", "post"),
    ("/api/v1/sign-in/browser", "post"),
    ("/api/v1/sign-in/password-link", "post"),
    ("/api/v1/sign-in/password-link/use", "post"),
    ("/api/v1/sign-up", "post"),
    ("/api/v1/sign-up/confirm", "post"),
)


def make_document(app: FastAPI) -> dict[str, Any]:
    """The document of `app`, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=_DESCRIPTION, tags=_TAGS, routes=app.routes
        )
        components = document.setdefault("components", {})
        components["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "browser": {"type": "apiKey", "in": "cookie", "name": COOKIE},
        }
        _, besides = models_json_schema(
            [(model, "validation") for model in _BESIDES], ref_template="#/components/schemas/{model}"
        )
        schemas = {**besides["$defs"], **components.get("schemas", {})}
        components["schemas"] = dict(sorted(schemas.items()))
        document["security"] = [{"token": []}, {"browser": []}]
        for path, method in _OPEN:
            if path in document["paths"]:
                document["paths"][path][method]["security"] = []
        app.openapi_schema = document
    return app.openapi_schema
