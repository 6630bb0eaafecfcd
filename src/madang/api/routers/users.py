"""Users: the accounts of people."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, UserRef, json_body, read_json
from madang.domain.names import NAME_PATTERN, USER_PATTERN
from madang.schemas.api import Page
from madang.schemas.people import OwnedSessions, User, UserCreate, UserUpdate

router = APIRouter(prefix=f"{API}/users", tags=["users"])


@router.get("", response_model=Page[User], responses=problems(403), operation_id="list_users")
async def list_users(
    *,
    caller: SignedIn,
    services: Use,
    domain: Annotated[str | None, Query(pattern=NAME_PATTERN, description="Only users of this domain.")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Users on a page.")] = 100,
    cursor: Annotated[
        str | None, Query(pattern=USER_PATTERN, description="`next` of the page before this one.")
    ] = None,
    robots: Annotated[bool, Query(description="Also the robots of projects' tokens.")] = False,
) -> Response:
    """List the accounts that you may see: your own, and for administrators those they administer."""
    return Json(await services.users.list(caller, domain=domain, limit=limit, cursor=cursor, robots=robots))


@router.get("/{user}", response_model=User, responses=problems(403, 404), operation_id="get_user")
async def get_user(user: UserRef, caller: SignedIn, services: Use) -> Response:
    """Look up one account."""
    return Json(await services.users.get(caller, user))


@router.post(
    "",
    status_code=201,
    response_model=User,
    responses=problems(403, 404, 409, 413),
    openapi_extra=json_body(UserCreate),
    operation_id="create_user",
)
async def create_user(request: Request, caller: SignedIn, services: Use) -> Response:
    """Make an account. For administrators of its domain, too."""
    return Json(await services.users.create(caller, await read_json(request, UserCreate)), 201)


@router.patch(
    "/{user}",
    response_model=User,
    responses=problems(403, 404, 409, 413),
    openapi_extra=json_body(UserUpdate),
    operation_id="update_user",
)
async def update_user(user: UserRef, request: Request, caller: SignedIn, services: Use) -> Response:
    """Change an account, disable it or enable it again. For administrators of its domain, too."""
    return Json(await services.users.change(caller, user, await read_json(request, UserUpdate)))


@router.delete("/{user}", status_code=204, responses=problems(403, 404, 409), operation_id="delete_user")
async def delete_user(
    user: UserRef,
    caller: SignedIn,
    services: Use,
    sessions: Annotated[OwnedSessions, Query(description="What becomes of the sessions of this user.")] = "refuse",
) -> Response:
    """Delete an account. One with sessions stays, unless these shall be stopped and deleted with it."""
    await services.users.delete(caller, user, sessions)
    return Response(status_code=204)
