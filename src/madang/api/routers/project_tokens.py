"""Tokens of a project, for machines that act for it."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.routers.tokens import TokenId
from madang.api.wire import API, Json, NameRef, json_body, read_json
from madang.schemas.api import Page
from madang.schemas.machines import NewProjectToken, ProjectToken, ProjectTokenCreate

router = APIRouter(prefix=f"{API}/domains/{{domain}}/projects/{{project}}/tokens", tags=["tokens"])


@router.get("", response_model=Page[ProjectToken], responses=problems(403, 404), operation_id="list_project_tokens")
async def list_project_tokens(domain: NameRef, project: NameRef, caller: SignedIn, services: Use) -> Response:
    """List the tokens of a project, newest first."""
    return Json(Page[ProjectToken](items=list(await services.project_tokens.list(caller, domain, project))))


@router.post(
    "",
    status_code=201,
    response_model=NewProjectToken,
    responses=problems(403, 404, 413),
    openapi_extra=json_body(ProjectTokenCreate),
    operation_id="create_project_token",
)
async def create_project_token(
    domain: NameRef, project: NameRef, request: Request, caller: SignedIn, services: Use
) -> Response:
    """Make a token that acts for a project, as a robot that is in it. It is shown this once."""
    wanted = await read_json(request, ProjectTokenCreate)
    return Json(await services.project_tokens.create(caller, domain, project, wanted), 201)


@router.delete("/{token}", status_code=204, responses=problems(403, 404), operation_id="revoke_project_token")
async def revoke_project_token(
    domain: NameRef, project: NameRef, token: TokenId, caller: SignedIn, services: Use
) -> Response:
    """Take a token of a project back. What it opened is closed within seconds; sessions of its robot go on."""
    await services.project_tokens.revoke(caller, domain, project, token)
    return Response(status_code=204)
