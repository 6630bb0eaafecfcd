"""What counts for the whole site: announcements and maintenance."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, json_body, read_json
from madang.schemas.api import Page
from madang.schemas.site import Announcement, AnnouncementCreate, MaintenancePut, MaintenanceState

router = APIRouter(prefix=API, tags=["site"])

AnnouncementRef = Annotated[str, Path(pattern=r"^[0-9a-z]{26}$")]


@router.get(
    "/announcements", response_model=Page[Announcement], responses=problems(403), operation_id="list_announcements"
)
async def list_announcements(
    caller: SignedIn,
    services: Use,
    everything: Annotated[
        bool, Query(alias="all", description="Also those to come and those that are over. For administrators.")
    ] = False,
) -> Response:
    """List what is announced now, newest first."""
    return Json(Page[Announcement](items=list(await services.notices.list(caller, everything=everything))))


@router.post(
    "/announcements",
    status_code=201,
    response_model=Announcement,
    responses=problems(403, 413),
    openapi_extra=json_body(AnnouncementCreate),
    operation_id="create_announcement",
)
async def create_announcement(request: Request, caller: SignedIn, services: Use) -> Response:
    """Tell everybody something. For administrators."""
    wanted = await read_json(request, AnnouncementCreate)
    return Json(await services.notices.create(caller, wanted), 201)


@router.put(
    "/announcements/{announcement}",
    response_model=Announcement,
    responses=problems(403, 404, 413),
    openapi_extra=json_body(AnnouncementCreate),
    operation_id="put_announcement",
)
async def put_announcement(
    announcement: AnnouncementRef, request: Request, caller: SignedIn, services: Use
) -> Response:
    """Say something else instead; without `since` it began when it did. For administrators."""
    wanted = await read_json(request, AnnouncementCreate)
    return Json(await services.notices.change(caller, announcement, wanted))


@router.delete(
    "/announcements/{announcement}",
    status_code=204,
    responses=problems(403, 404),
    operation_id="delete_announcement",
)
async def delete_announcement(announcement: AnnouncementRef, caller: SignedIn, services: Use) -> Response:
    """Announce it no more. For administrators."""
    await services.notices.delete(caller, announcement)
    return Response(status_code=204)


@router.get("/maintenance", response_model=MaintenanceState, responses=problems(), operation_id="get_maintenance")
async def get_maintenance(caller: SignedIn, services: Use) -> Response:
    """Whether the site is under maintenance: then no sessions are accepted or started."""
    return Json(await services.notices.state())


@router.put(
    "/maintenance",
    response_model=MaintenanceState,
    responses=problems(403, 413),
    openapi_extra=json_body(MaintenancePut),
    operation_id="put_maintenance",
)
async def put_maintenance(request: Request, caller: SignedIn, services: Use) -> Response:
    """Switch maintenance on or off: no sessions are accepted or started, and what runs goes on. For administrators."""
    return Json(await services.notices.maintain(caller, await read_json(request, MaintenancePut)))
