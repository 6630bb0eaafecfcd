"""With whom sessions are shared."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, SessionRef, json_body, read_json
from madang.domain.names import PATH_PATTERN, USER_PATTERN
from madang.schemas.api import Page
from madang.schemas.people import Share, ShareUpdate

router = APIRouter(prefix=f"{API}/sessions/{{session}}/shares", tags=["sessions"])


@router.get("", response_model=Page[Share], responses=problems(403, 404), operation_id="list_shares")
async def list_shares(session: SessionRef, caller: SignedIn, services: Use) -> Response:
    """List the users and projects that a session of yours is shared with."""
    return Json(Page[Share](items=list(await services.sharing.list(caller, session))))


@router.put(
    "",
    response_model=Share,
    responses=problems(403, 404, 413),
    openapi_extra=json_body(ShareUpdate),
    operation_id="put_share",
)
async def put_share(session: SessionRef, request: Request, caller: SignedIn, services: Use) -> Response:
    """Share a session with a user or a project, to view or to use, or change how far it is."""
    return Json(await services.sharing.share(caller, session, await read_json(request, ShareUpdate)))


@router.delete("", status_code=204, responses=problems(403, 404), operation_id="delete_share")
async def delete_share(
    session: SessionRef,
    caller: SignedIn,
    services: Use,
    user: Annotated[str | None, Query(pattern=USER_PATTERN, description="With whom it was shared.")] = None,
    project: Annotated[str | None, Query(pattern=PATH_PATTERN, description="Or with which project.")] = None,
) -> Response:
    """Share a session with a user or a project no more."""
    await services.sharing.unshare(caller, session, user=user, project=project)
    return Response(status_code=204)
