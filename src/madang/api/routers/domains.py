"""Domains: the organisations on one platform."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, NameRef, json_body, read_json
from madang.schemas.api import Page
from madang.schemas.people import Domain, DomainCreate, DomainUpdate

router = APIRouter(prefix=f"{API}/domains", tags=["domains"])


@router.get("", response_model=Page[Domain], responses=problems(403), operation_id="list_domains")
async def list_domains(caller: SignedIn, services: Use) -> Response:
    """List the domains that you may see: your own, and for administrators all."""
    return Json(Page[Domain](items=list(await services.domains.list(caller))))


@router.get("/{domain}", response_model=Domain, responses=problems(403, 404), operation_id="get_domain")
async def get_domain(domain: NameRef, caller: SignedIn, services: Use) -> Response:
    """Look up one domain."""
    return Json(await services.domains.get(caller, domain))


@router.post(
    "",
    status_code=201,
    response_model=Domain,
    responses=problems(403, 409, 413),
    openapi_extra=json_body(DomainCreate),
    operation_id="create_domain",
)
async def create_domain(request: Request, caller: SignedIn, services: Use) -> Response:
    """Make a domain, with a project `default` that its users will join. For administrators."""
    return Json(await services.domains.create(caller, await read_json(request, DomainCreate)), 201)


@router.patch(
    "/{domain}",
    response_model=Domain,
    responses=problems(403, 404, 409, 413),
    openapi_extra=json_body(DomainUpdate),
    operation_id="update_domain",
)
async def update_domain(domain: NameRef, request: Request, caller: SignedIn, services: Use) -> Response:
    """Give a domain another title, disable it or enable it again. For administrators."""
    return Json(await services.domains.change(caller, domain, await read_json(request, DomainUpdate)))


@router.delete("/{domain}", status_code=204, responses=problems(403, 404, 409), operation_id="delete_domain")
async def delete_domain(domain: NameRef, caller: SignedIn, services: Use) -> Response:
    """Delete a domain without users, other projects than `default`, and sessions. For administrators."""
    await services.domains.delete(caller, domain)
    return Response(status_code=204)
