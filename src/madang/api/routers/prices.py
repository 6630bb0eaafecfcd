"""What slots and devices cost."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, json_body, read_json
from madang.schemas.money import PriceTable

router = APIRouter(prefix=f"{API}/prices", tags=["usage"])


@router.get("", response_model=PriceTable, responses=problems(403), operation_id="get_prices")
async def get_prices(caller: SignedIn, services: Use) -> Response:
    """What an hour of each slot and each model of devices costs in the present month."""
    return Json(await services.prices.get(caller))


@router.put(
    "",
    response_model=PriceTable,
    responses=problems(403, 413),
    openapi_extra=json_body(PriceTable),
    operation_id="put_prices",
)
async def put_prices(request: Request, caller: SignedIn, services: Use) -> Response:
    """Set all prices, for the whole of the present month and those that follow. For administrators."""
    return Json(await services.prices.put(caller, await read_json(request, PriceTable)))
