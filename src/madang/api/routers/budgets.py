"""What projects have spent in this month, and may spend."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, NameRef, json_body, read_json
from madang.schemas.money import Budget, Spending

router = APIRouter(prefix=API, tags=["projects"])

_ONE: Final = "/domains/{domain}/projects/{project}/budget"


@router.get(_ONE, response_model=Spending, responses=problems(403, 404), operation_id="get_budget")
async def get_budget(domain: NameRef, project: NameRef, caller: SignedIn, services: Use) -> Response:
    """What a project has spent in the present month, and its budget. For its owners and administrators."""
    return Json(await services.budgets.get(caller, domain, project))


@router.put(
    _ONE,
    response_model=Spending,
    responses=problems(403, 404, 413),
    openapi_extra=json_body(Budget),
    operation_id="put_budget",
)
async def put_budget(domain: NameRef, project: NameRef, request: Request, caller: SignedIn, services: Use) -> Response:
    """Give a project a budget, which counts from the beginning of the present month. For administrators."""
    return Json(await services.budgets.put(caller, domain, project, await read_json(request, Budget)))


@router.delete(_ONE, status_code=204, responses=problems(403, 404), operation_id="delete_budget")
async def delete_budget(domain: NameRef, project: NameRef, caller: SignedIn, services: Use) -> Response:
    """Let a project have no budget any more. For administrators."""
    await services.budgets.delete(caller, domain, project)
    return Response(status_code=204)
