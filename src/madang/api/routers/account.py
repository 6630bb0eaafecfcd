"""One's own account, and what administrators do to the passwords and second factors of others."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.problems import problems
from madang.api.wire import API, Json, UserRef, json_body, read_json
from madang.schemas.sign_in import (
    Account,
    FirstPassword,
    Link,
    PasswordChange,
    PasswordReset,
    RecoveryCodes,
    SecondFactorBegin,
    SecondFactorConfirm,
    SecondFactorEnrolment,
    SecondFactorRemove,
)

router = APIRouter(prefix=API, tags=["account"])


@router.get("/me/account", response_model=Account, responses=problems(), operation_id="get_account")
async def get_account(caller: SignedIn, services: Use) -> Response:
    """How you sign in."""
    return Json(await services.account.get(caller))


@router.put(
    "/me/password",
    status_code=204,
    responses=problems(409, 413, 429),
    openapi_extra=json_body(PasswordChange),
    operation_id="change_password",
)
async def change_password(request: Request, caller: SignedIn, services: Use) -> Response:
    """Change your password. Other tokens and browser sessions stay, unless you say otherwise."""
    await services.account.change_password(caller, await read_json(request, PasswordChange))
    return Response(status_code=204)


@router.post(
    "/me/second-factor",
    response_model=SecondFactorEnrolment,
    responses=problems(409, 413, 429),
    openapi_extra=json_body(SecondFactorBegin),
    operation_id="begin_second_factor",
)
async def begin_second_factor(request: Request, caller: SignedIn, services: Use) -> Response:
    """Begin with a second factor: the answer is for an authenticator app. Nothing changes before it is confirmed."""
    body = await read_json(request, SecondFactorBegin)
    server = request.headers.get("host", "").partition(":")[0]
    return Json(await services.account.begin_second_factor(caller, body.password, server))


@router.put(
    "/me/second-factor",
    response_model=RecoveryCodes,
    responses=problems(409, 413, 429),
    openapi_extra=json_body(SecondFactorConfirm),
    operation_id="confirm_second_factor",
)
async def confirm_second_factor(request: Request, caller: SignedIn, services: Use) -> Response:
    """Have the second factor in force from now on. The recovery codes are shown this once."""
    return Json(await services.account.confirm_second_factor(caller, await read_json(request, SecondFactorConfirm)))


@router.post(
    "/me/second-factor/remove",
    status_code=204,
    responses=problems(409, 413, 429),
    openapi_extra=json_body(SecondFactorRemove),
    operation_id="remove_second_factor",
)
async def remove_second_factor(request: Request, caller: SignedIn, services: Use) -> Response:
    """Do without a second factor. Needs the password or a code."""
    await services.account.remove_second_factor(caller, await read_json(request, SecondFactorRemove))
    return Response(status_code=204)


@router.post(
    "/users/{user}/password",
    response_model=FirstPassword,
    responses=problems(404, 409, 413),
    openapi_extra=json_body(PasswordReset, required=False),
    operation_id="reset_password",
)
async def reset_password(user: UserRef, request: Request, caller: SignedIn, services: Use) -> Response:
    """Give somebody a first password, which has to be replaced at sign-in. For administrators of the domain, too."""
    body = await read_json(request, PasswordReset, optional=True)
    return Json(await services.account.reset_password(caller, user, body))


@router.post(
    "/users/{user}/password-link",
    status_code=201,
    response_model=Link,
    responses=problems(404, 409),
    operation_id="make_password_link",
)
async def make_password_link(user: UserRef, request: Request, caller: SignedIn, services: Use) -> Response:
    """Make a link with which somebody sets a password, shown this once. For administrators of the domain, too."""
    return Json(await services.password_links.make(caller, user, str(request.base_url)), 201)


@router.delete(
    "/users/{user}/second-factor",
    status_code=204,
    responses=problems(404, 409),
    operation_id="remove_user_second_factor",
)
async def remove_user_second_factor(user: UserRef, caller: SignedIn, services: Use) -> Response:
    """Remove the second factor of somebody who has lost it. For administrators of the domain, too."""
    await services.account.remove_factor_of(caller, user)
    return Response(status_code=204)
