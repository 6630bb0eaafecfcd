"""Invitations into projects by link, and importing a table of users."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import open_problems, problems
from madang.api.routers.sign_in import address_of, language_of
from madang.api.wire import API, Json, NameRef, binary_body, body_of, json_body, read_json
from madang.domain.errors import TooLarge
from madang.domain.names import NAME_PATTERN
from madang.domain.roster import MAX_BYTES
from madang.schemas.api import NewToken, Page
from madang.schemas.invitations import (
    Existing,
    Import,
    Invitation,
    InvitationAccept,
    InvitationCreate,
    InvitationSignUp,
    NewInvitation,
)
from madang.schemas.people import Member
from madang.services.roster import Wanted

router = APIRouter(prefix=API, tags=["invitations"])

_INVITATIONS = "/domains/{domain}/projects/{project}/invitations"


@router.get(
    _INVITATIONS, response_model=Page[Invitation], responses=problems(403, 404), operation_id="list_invitations"
)
async def list_invitations(domain: NameRef, project: NameRef, caller: SignedIn, services: Use) -> Response:
    """List the invitations into a project that are good, newest first. For owners."""
    return Json(Page[Invitation](items=list(await services.invitations.list(caller, domain, project))))


@router.post(
    _INVITATIONS,
    status_code=201,
    response_model=NewInvitation,
    responses=problems(403, 404, 409, 413),
    openapi_extra=json_body(InvitationCreate, required=False),
    operation_id="create_invitation",
)
async def create_invitation(
    domain: NameRef, project: NameRef, request: Request, caller: SignedIn, services: Use
) -> Response:
    """Make an invitation into a project, which works as long as you may make one. Its link is shown only here. For
    owners."""
    wanted = await read_json(request, InvitationCreate, optional=True)
    made = await services.invitations.create(
        caller, (domain, project), wanted, base=str(request.base_url), language=language_of(request)
    )
    return Json(made, 201)


@router.delete(
    f"{_INVITATIONS}/{{invitation}}",
    status_code=204,
    responses=problems(403, 404),
    operation_id="delete_invitation",
)
async def delete_invitation(
    domain: NameRef,
    project: NameRef,
    invitation: Annotated[str, Path(pattern=r"^[0-9a-z]{26}$")],
    caller: SignedIn,
    services: Use,
) -> Response:
    """Take an invitation back; who has come in by it stays. For owners."""
    await services.invitations.revoke(caller, domain, project, invitation)
    return Response(status_code=204)


@router.post(
    "/me/invitations",
    status_code=201,
    response_model=Member,
    responses=problems(403, 404, 409, 413),
    openapi_extra=json_body(InvitationAccept),
    operation_id="accept_invitation",
)
async def accept_invitation(request: Request, caller: SignedIn, services: Use) -> Response:
    """Join the project of an invitation. What you are there already stays if it is more."""
    body = await read_json(request, InvitationAccept)
    return Json(await services.invitations.accept(caller, body.link), 201)


@router.post(
    "/sign-in/invitation",
    status_code=201,
    response_model=NewToken,
    responses=open_problems(401, 404, 409, 413, 429, 503),
    openapi_extra=json_body(InvitationSignUp),
    operation_id="sign_up_invited",
)
async def sign_up_invited(request: Request, services: Use) -> Response:
    """Make an account with an invitation, in its project only, and sign it in. Needs no token."""
    body = await read_json(request, InvitationSignUp)
    return Json(await services.invitations.sign_up(body, address_of(request)), 201)


@router.post(
    "/users:import",
    status_code=201,
    response_model=Import,
    responses={200: {"model": Import, "description": "What would be done."}, **problems(403, 404, 413)},
    openapi_extra=binary_body("text/csv"),
    operation_id="import_users",
)
async def import_users(
    *,
    request: Request,
    caller: SignedIn,
    services: Use,
    domain: Annotated[str | None, Query(pattern=NAME_PATTERN, description="Where the accounts are made.")] = None,
    existing: Annotated[
        Existing, Query(description="What becomes of rows with an account of the domain that is there already.")
    ] = "refuse",
    make_up: Annotated[bool, Query(description="Make up first passwords where the table has none.")] = False,
    dry_run: Annotated[bool, Query(description="Only check, and tell what would be done.")] = False,
) -> Response:
    """Make the accounts of a table in CSV, all or none. Every mistake is told, by line and column. Storing passwords
    is slow: a class of 80 takes some seconds. Made-up passwords and links are shown only here. For administrators of
    the domain, too."""
    home = await services.roster.check(caller, domain)
    data = bytearray()
    async for piece in body_of(request):
        data += piece
        if len(data) > MAX_BYTES:
            raise TooLarge(f"The file is larger than {MAX_BYTES >> 20} MiB. Split it.")
    wanted = Wanted(home, existing, make_up=make_up, dry_run=dry_run)
    done = await services.roster.run(
        caller, bytes(data), wanted, base=str(request.base_url), language=language_of(request)
    )
    return Json(done, 200 if dry_run else 201)
