"""Reservations: room of a resource group that is kept for some users at some times."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, NameRef, json_body, read_json
from madang.schemas.api import Page, Reservation, ReservationCreate

router = APIRouter(prefix=f"{API}/reservations", tags=["reservations"])


@router.get("", response_model=Page[Reservation], responses=problems(403), operation_id="list_reservations")
async def list_reservations(caller: SignedIn, services: Use) -> Response:
    """List the reservations that are for the caller; an administrator sees all."""
    return Json(Page[Reservation](items=list(await services.reservations.list(caller))))


@router.get("/{reservation}", response_model=Reservation, responses=problems(403, 404), operation_id="get_reservation")
async def get_reservation(reservation: NameRef, caller: SignedIn, services: Use) -> Response:
    """Look up one reservation."""
    return Json(await services.reservations.get(caller, reservation))


@router.post(
    "",
    status_code=201,
    response_model=Reservation,
    responses=problems(403, 404, 409, 413),
    openapi_extra=json_body(ReservationCreate),
    operation_id="create_reservation",
)
async def create_reservation(request: Request, caller: SignedIn, services: Use) -> Response:
    """Keep room for users, every week or once. For administrators."""
    wanted = await read_json(request, ReservationCreate)
    return Json(await services.reservations.create(caller, wanted), 201)


@router.delete("/{reservation}", status_code=204, responses=problems(403, 404), operation_id="delete_reservation")
async def delete_reservation(reservation: NameRef, caller: SignedIn, services: Use) -> Response:
    """Give the room back to everybody; sessions that name the reservation go on. For administrators."""
    await services.reservations.delete(caller, reservation)
    return Response(status_code=204)
