"""Who changed what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json
from madang.schemas.api import AuditEntry, Page
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
