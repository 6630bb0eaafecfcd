"""Projects and who is in them. `default/vision`, or `vision` for short, is at `/domains/default/projects/vision`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, NameRef, UserRef, json_body, read_json
from madang.domain.names import NAME_PATTERN
from madang.schemas.api import Page
from madang.schemas.people import Member, MemberUpdate, Project, ProjectCreate, ProjectUpdate

router = APIRouter(prefix=API, tags=["projects"])

_IN_DOMAIN = "/domains/{domain}/projects"
_ONE = f"{_IN_DOMAIN}/{{project}}"
_MEMBERS = f"{_ONE}/members"


@router.get("/projects", response_model=Page[Project], responses=problems(403), operation_id="list_projects")
async def list_projects(
    caller: SignedIn,
    services: Use,
    domain: Annotated[str | None, Query(pattern=NAME_PATTERN, description="Only projects of this domain.")] = None,
) -> Response:
    """List the projects that you may see: those you are in, and for administrators those they administer."""
    return Json(Page[Project](items=list(await services.projects.list(caller, domain))))


@router.get(_ONE, response_model=Project, responses=problems(403, 404), operation_id="get_project")
async def get_project(domain: NameRef, project: NameRef, caller: SignedIn, services: Use) -> Response:
    """Look up one project."""
    return Json(await services.projects.get(caller, domain, project))


@router.post(
    _IN_DOMAIN,
    status_code=201,
    response_model=Project,
    responses=problems(403, 404, 409, 413),
    openapi_extra=json_body(ProjectCreate),
    operation_id="create_project",
)
async def create_project(domain: NameRef, request: Request, caller: SignedIn, services: Use) -> Response:
    """Make a project of a domain. For administrators of that, too."""
    return Json(await services.projects.create(caller, domain, await read_json(request, ProjectCreate)), 201)


@router.patch(
    _ONE,
    response_model=Project,
    responses=problems(403, 404, 413),
    openapi_extra=json_body(ProjectUpdate),
    operation_id="update_project",
)
async def update_project(
    domain: NameRef, project: NameRef, request: Request, caller: SignedIn, services: Use
) -> Response:
    """Give a project another title; administrators also close it and open it again."""
    return Json(await services.projects.change(caller, domain, project, await read_json(request, ProjectUpdate)))


@router.delete(_ONE, status_code=204, responses=problems(403, 404, 409), operation_id="delete_project")
async def delete_project(domain: NameRef, project: NameRef, caller: SignedIn, services: Use) -> Response:
    """Delete a project without sessions, ended ones included. For administrators of its domain, too."""
    await services.projects.delete(caller, domain, project)
    return Response(status_code=204)


@router.get(_MEMBERS, response_model=Page[Member], responses=problems(403, 404), operation_id="list_members")
async def list_members(domain: NameRef, project: NameRef, caller: SignedIn, services: Use) -> Response:
    """List who is in a project, and until when."""
    return Json(Page[Member](items=list(await services.projects.members(caller, domain, project))))


@router.put(
    f"{_MEMBERS}/{{user}}",
    response_model=Member,
    responses=problems(403, 404, 409, 413),
    openapi_extra=json_body(MemberUpdate, required=False),
    operation_id="put_member",
)
async def put_member(
    *, domain: NameRef, project: NameRef, user: UserRef, request: Request, caller: SignedIn, services: Use
) -> Response:
    """Take somebody into a project, of whatever domain, or give a member another role. For owners."""
    wanted = await read_json(request, MemberUpdate, optional=True)
    return Json(await services.projects.set_member(caller, domain, project, user, wanted))


@router.delete(f"{_MEMBERS}/{{user}}", status_code=204, responses=problems(403, 404, 409), operation_id="delete_member")
async def delete_member(domain: NameRef, project: NameRef, user: UserRef, caller: SignedIn, services: Use) -> Response:
    """Let somebody be in a project no more; sessions that they have there go on. For owners."""
    await services.projects.remove_member(caller, domain, project, user)
    return Response(status_code=204)
