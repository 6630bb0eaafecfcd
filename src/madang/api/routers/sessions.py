"""Sessions: start, plan, look up, stop, delete."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.direct import DirectRoute
from madang.api.problems import Responses, problems
from madang.api.wire import API, JSON, Json, SessionRef, json_body, read_json
from madang.schemas.api import Page, PlanAnswer, Session, SessionCreate, SessionQuery, SessionStop, Usage

router = APIRouter(prefix=f"{API}/sessions", tags=["sessions"])
reads = APIRouter(prefix=f"{API}/sessions", tags=["sessions"], route_class=DirectRoute)

_CREATED: Final[Responses] = {
    201: {"headers": {"Location": {"description": "Where it is.", "schema": {"type": "string"}}}}
}


@reads.get("", response_model=Page[Session], responses=problems(403, 404), operation_id="list_sessions")
async def list_sessions(query: Annotated[SessionQuery, Query()], caller: SignedIn, services: Use) -> Response:
    """List the sessions that you have the right to see, newest first."""
    return Response(await services.sessions.list_json(caller, query), media_type=JSON)


@reads.get("/{session}", response_model=Session, responses=problems(403, 404), operation_id="get_session")
async def get_session(session: SessionRef, caller: SignedIn, services: Use) -> Response:
    """Look up one session. A name means the live session of that name, else the newest that had it."""
    return Response(await services.sessions.get_json(caller, session), media_type=JSON)


@router.post(
    "",
    status_code=201,
    response_model=Session,
    responses=problems(403, 404, 409, 413, 507) | _CREATED,
    openapi_extra=json_body(SessionCreate),
    operation_id="create_session",
)
async def create_session(
    request: Request,
    caller: SignedIn,
    services: Use,
    idempotency_key: Annotated[
        str | None,
        Header(pattern=r"^[!-~]{1,255}$", description="The same key with the same body never creates a second one."),
    ] = None,
) -> Response:
    """Start a session. It is accepted at once and runs as soon as a node has room; `reason` tells what it waits for."""
    wanted = await read_json(request, SessionCreate)
    session = await services.sessions.create(caller, wanted, idempotency_key)
    return Json(session, 201, {"Location": f"{API}/sessions/{session.id}"})


@router.post(
    ":plan",
    response_model=PlanAnswer,
    responses=problems(403, 404, 409, 413),
    openapi_extra=json_body(SessionCreate),
    operation_id="plan_session",
)
async def plan_session(request: Request, caller: SignedIn, services: Use) -> Response:
    """Ask what would become of a session: where it would start, or why and how long it would wait. Nothing is kept."""
    return Json(await services.sessions.plan(caller, await read_json(request, SessionCreate)))


@router.post(
    "/{session}/stop",
    status_code=202,
    response_model=Session,
    responses=problems(403, 404, 409, 413),
    openapi_extra=json_body(SessionStop, required=False),
    operation_id="stop_session",
)
async def stop_session(session: SessionRef, request: Request, caller: SignedIn, services: Use) -> Response:
    """Stop a session: its process is asked to end, and killed after the grace time. An ended one stays as it is."""
    how = await read_json(request, SessionStop, optional=True)
    return Json(await services.sessions.stop(caller, session, how.grace_seconds), 202)


@router.delete("/{session}", status_code=204, responses=problems(403, 404, 409), operation_id="delete_session")
async def delete_session(session: SessionRef, caller: SignedIn, services: Use) -> Response:
    """Delete an ended session with its output and files."""
    await services.sessions.delete(caller, session)
    return Response(status_code=204)


@router.get(
    "/{session}/usage", response_model=Usage | None, responses=problems(403, 404), operation_id="get_session_usage"
)
async def get_session_usage(session: SessionRef, caller: SignedIn, services: Use) -> Response:
    """What a running session uses now; null when it does not run."""
    usage = await services.sessions.usage(caller, session)
    return Json(usage) if usage is not None else Response(b"null", media_type=JSON)
