"""Resource groups: how sets of nodes are shared."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, NameRef, json_body, read_json
from madang.schemas.api import GroupPolicy, GroupPut, Page, ResourceGroup

router = APIRouter(prefix=f"{API}/resource-groups", tags=["groups"])


@router.get("", response_model=Page[ResourceGroup], responses=problems(403), operation_id="list_groups")
async def list_groups(caller: SignedIn, services: Use) -> Response:
    """List the resource groups that are open to you."""
    return Json(Page[ResourceGroup](items=list(await services.groups.list(caller))))


@router.get("/{group}", response_model=ResourceGroup, responses=problems(403, 404), operation_id="get_group")
async def get_group(group: NameRef, caller: SignedIn, services: Use) -> Response:
    """Look up one resource group."""
    return Json(await services.groups.get(caller, group))


@router.put(
    "/{group}",
    response_model=ResourceGroup,
    responses=problems(403, 404, 413),
    openapi_extra=json_body(GroupPut),
    operation_id="put_group",
)
async def put_group(group: NameRef, request: Request, caller: SignedIn, services: Use) -> Response:
    """Make a resource group, or change it: what is left out has its default, but `access` stays. For administrators."""
    wanted = await read_json(request, GroupPut)
    policy = GroupPolicy.model_validate(wanted.model_dump(exclude={"access"}))
    return Json(await services.groups.put(caller, group, policy, wanted.access))


@router.delete("/{group}", status_code=204, responses=problems(403, 404, 409), operation_id="delete_group")
async def delete_group(group: NameRef, caller: SignedIn, services: Use) -> Response:
    """Delete a resource group without nodes and live sessions, with its reservations. For administrators."""
    await services.groups.delete(caller, group)
    return Response(status_code=204)
