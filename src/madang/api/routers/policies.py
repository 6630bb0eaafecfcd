"""Policies: limits with a name, and upon whom they are laid."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, NameRef, json_body, read_json
from madang.schemas.api import Page, Policy, PolicyLay, PolicyLimits

router = APIRouter(prefix=f"{API}/policies", tags=["policies"])


@router.get("", response_model=Page[Policy], responses=problems(403), operation_id="list_policies")
async def list_policies(caller: SignedIn, services: Use) -> Response:
    """List the policies."""
    return Json(Page[Policy](items=list(await services.policies.list(caller))))


@router.put(
    "/{policy}",
    response_model=Policy,
    responses=problems(403, 413),
    openapi_extra=json_body(PolicyLimits),
    operation_id="put_policy",
)
async def put_policy(policy: NameRef, request: Request, caller: SignedIn, services: Use) -> Response:
    """Make a policy, or give it other limits; what is left out of them has none. For administrators."""
    return Json(await services.policies.put(caller, policy, await read_json(request, PolicyLimits)))


@router.delete("/{policy}", status_code=204, responses=problems(403, 404, 409), operation_id="delete_policy")
async def delete_policy(policy: NameRef, caller: SignedIn, services: Use) -> Response:
    """Delete a policy that is laid upon nobody. For administrators."""
    await services.policies.delete(caller, policy)
    return Response(status_code=204)


@router.post(
    ":lay",
    status_code=204,
    responses=problems(403, 404, 413),
    openapi_extra=json_body(PolicyLay),
    operation_id="lay_policy",
)
async def lay_policy(request: Request, caller: SignedIn, services: Use) -> Response:
    """Lay a policy upon a user, a project, each in a project, a domain, or each of a domain. For administrators."""
    how = await read_json(request, PolicyLay)
    await services.policies.lay(caller, how.policy, how.upon, how.name)
    return Response(status_code=204)
