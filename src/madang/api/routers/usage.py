"""What was held of slots and devices, and for how long."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json
from madang.schemas.api import TimeZone, UsageReport
from madang.services.usage import By

router = APIRouter(prefix=f"{API}/usage", tags=["usage"])


@router.get("", response_model=UsageReport, responses=problems(403), operation_id="get_usage")
async def get_usage(
    *,
    caller: SignedIn,
    services: Use,
    by: Annotated[By, Query(description="What to sum up by.")] = "user",
    month: Annotated[str | None, Query(pattern=r"^[0-9]{4}-[0-9]{2}$", description="Such as 2026-11.")] = None,
    timezone: Annotated[TimeZone, Query(description="Of which place the month is, such as Asia/Seoul.")] = "UTC",
) -> Response:
    """What was held in a month, until now if that is the present one: your own, that of a project you own, or all."""
    return Json(await services.usage.report(caller, by, month, timezone))
