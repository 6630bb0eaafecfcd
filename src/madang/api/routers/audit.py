"""Who changed what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, json_body, read_json
from madang.schemas.api import AuditEntry, Page
from madang.schemas.money import Retention
from madang.services.audit import AuditFilter

router = APIRouter(prefix=f"{API}/audit", tags=["audit"])

Text = Annotated[str | None, Query(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
Moment = Annotated[AwareDatetime | None, Query()]


@router.get("", response_model=Page[AuditEntry], responses=problems(403), operation_id="list_audit")
async def list_audit(
    *,
    caller: SignedIn,
    services: Use,
    actor: Text = None,
    action: Text = None,
    target: Text = None,
    since: Moment = None,
    until: Moment = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(pattern=r"^[0-9]{1,18}$")] = None,
) -> Response:
    """List who changed what, newest first. `action` may be the first part of one; `target` a name or an id.

    For administrators, of the site or of a domain.
    """
    wanted = AuditFilter(actor=actor, action=action, target=target, since=since, until=until)
    return Json(await services.audit.list(caller, wanted, limit=limit, cursor=cursor))


@router.get("/retention", response_model=Retention, responses=problems(403), operation_id="get_audit_retention")
async def get_audit_retention(caller: SignedIn, services: Use) -> Response:
    """For how many days the audit is kept. For administrators."""
    return Json(await services.audit.retention(caller))


@router.put(
    "/retention",
    response_model=Retention,
    responses=problems(403, 413),
    openapi_extra=json_body(Retention),
    operation_id="put_audit_retention",
)
async def put_audit_retention(request: Request, caller: SignedIn, services: Use) -> Response:
    """Keep the audit for so many days; what is older is deleted. For administrators."""
    return Json(await services.audit.keep(caller, await read_json(request, Retention)))
