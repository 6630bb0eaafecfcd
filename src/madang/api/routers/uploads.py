"""Archives sent ahead of the sessions that use them."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, binary_body, body_of
from madang.schemas.api import Upload

router = APIRouter(prefix=f"{API}/uploads", tags=["uploads"])


@router.post(
    "",
    status_code=201,
    response_model=Upload,
    responses=problems(403, 413, 507),
    openapi_extra=binary_body("application/x-tar", "application/gzip"),
    operation_id="create_upload",
)
async def create_upload(request: Request, caller: SignedIn, services: Use) -> Response:
    """Send a tar archive, plain or gzip, whose members a session finds in its work directory when it starts."""
    return Json(await services.uploads.accept(caller, body_of(request)), 201)
