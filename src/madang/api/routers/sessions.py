"""Sessions: start, plan, look up, stop, delete."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import Responses, problems
from madang.api.wire import API, Json, SessionRef, json_body, read_json
from madang.domain.names import NAME_PATTERN, PATH_PATTERN
from madang.domain.session import SessionKind, SessionState
from madang.schemas.api import Page, PlanAnswer, Session, SessionCreate, SessionStop, Usage

router = APIRouter(prefix=f"{API}/sessions", tags=["sessions"])

_CREATED: Final[Responses] = {
    201: {"headers": {"Location": {"description": "Where it is.", "schema": {"type": "string"}}}}
}
_ANY: Final[list[SessionState]] = []


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


@router.get("", response_model=Page[Session], responses=problems(403, 404), operation_id="list_sessions")
async def list_sessions(
    *,
    caller: SignedIn,
    services: Use,
    state: Annotated[list[SessionState], Query(description="Only these states; repeat it for several.")] = _ANY,
    kind: Annotated[SessionKind | None, Query(description="Only this kind.")] = None,
    name: Annotated[str | None, Query(pattern=NAME_PATTERN, description="Only sessions of this name.")] = None,
    project: Annotated[str | None, Query(pattern=PATH_PATTERN, description="Only sessions of this project.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Sessions on a page.")] = 50,
    cursor: Annotated[
        str | None, Query(pattern=r"^[!-~]{1,500}$", description="`next` of the page before this one.")
    ] = None,
) -> Response:
    """List the sessions that you have the right to see, newest first."""
    page = await services.sessions.list(
        caller, states=state, name=name, kind=kind, project=project, limit=limit, cursor=cursor
    )
    return Json(page)


@router.get("/{session}", response_model=Session, responses=problems(403, 404), operation_id="get_session")
async def get_session(session: SessionRef, caller: SignedIn, services: Use) -> Response:
    """Look up one session. A name means the live session of that name, else the newest that had it."""
    return Json(await services.sessions.get(caller, session))


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
    return Json(usage) if usage is not None else Response(b"null", media_type="application/json")
