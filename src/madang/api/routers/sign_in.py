"""Signing in and out: by password, for programs and for browsers; links to set a password; signing up."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from madang.api.auth import SignedIn, Use
from madang.api.cookies import cookie_of, csrf_of, drop_cookie, require_own_origin, set_cookie
from madang.api.problems import open_problems, problems
from madang.api.wire import API, OPEN_LIMIT, Json, json_body, read_json
from madang.schemas.api import NewToken
from madang.schemas.sign_in import (
    BrowserUser,
    PasswordLinkAsk,
    PasswordLinkUse,
    PasswordSignIn,
    SignedUp,
    SignInWays,
    SignUp,
    SignUpConfirm,
)
from madang.services.sign_in import SignedInUser

router = APIRouter(prefix=f"{API}/sign-in", tags=["sign-in"])
mailed = APIRouter(prefix=f"{API}/sign-in", tags=["sign-in"])
sign_up = APIRouter(prefix=f"{API}/sign-up", tags=["sign-in"])


@router.get("", response_model=SignInWays, responses=open_problems(), operation_id="get_sign_in")
async def get_sign_in(services: Use) -> Response:
    """What ways there are to sign in. Needs no token."""
    return Json(services.sign_in.ways())


@router.post(
    "/token",
    status_code=201,
    response_model=NewToken,
    responses=open_problems(401, 403, 413, 429, 503),
    openapi_extra=json_body(PasswordSignIn),
    operation_id="sign_in_token",
)
async def sign_in_token(request: Request, services: Use) -> Response:
    """Sign in with name and password, for programs: the answer has a token."""
    body = await read_json(request, PasswordSignIn, limit=OPEN_LIMIT)
    found = await _known(request, services, body)
    label = body.label or f"signed in from {address_of(request) or 'somewhere'}"
    return Json(
        await services.sign_in.admit(
            found.user_id, kind="token", label=label, address=address_of(request), how=found.how
        ),
        201,
    )


@router.post(
    "/browser",
    response_model=BrowserUser,
    responses=open_problems(401, 403, 413, 429, 503),
    openapi_extra=json_body(PasswordSignIn),
    operation_id="sign_in_browser",
)
async def sign_in_browser(request: Request, services: Use) -> Response:
    """Sign in with name and password, for pages of this server: the answer sets a cookie."""
    require_own_origin(request)
    body = await read_json(request, PasswordSignIn, limit=OPEN_LIMIT)
    found = await _known(request, services, body)
    return await admit_browser(request, services, found, body.label)


@router.delete("", status_code=204, responses=problems(404), operation_id="sign_out")
async def sign_out(request: Request, caller: SignedIn, services: Use) -> Response:
    """Sign out: take back the token or browser session that this request carries."""
    await services.sign_in.sign_out(caller)
    response = Response(status_code=204)
    if cookie_of(request) is not None:
        drop_cookie(response)
    return response


@router.post(
    "/password-link/use",
    status_code=204,
    responses=open_problems(401, 413, 429),
    openapi_extra=json_body(PasswordLinkUse),
    operation_id="use_password_link",
)
async def use_password_link(request: Request, services: Use) -> Response:
    """Set a new password with a link, which is good once. Browsers are signed out."""
    body = await read_json(request, PasswordLinkUse, limit=OPEN_LIMIT)
    await services.password_links.use(body.link, body.new_password, address_of(request))
    return Response(status_code=204)


@mailed.post(
    "/password-link",
    status_code=204,
    responses=open_problems(413, 429),
    openapi_extra=json_body(PasswordLinkAsk),
    operation_id="ask_password_link",
)
async def ask_password_link(request: Request, services: Use) -> Response:
    """Have a link to set a new password sent to the address of an account. The answer is the same for any name."""
    body = await read_json(request, PasswordLinkAsk, limit=OPEN_LIMIT)
    await services.password_links.send(body.name, address_of(request), language_of(request))
    return Response(status_code=204)


@sign_up.post(
    "",
    status_code=204,
    responses=open_problems(409, 413, 429),
    openapi_extra=json_body(SignUp),
    operation_id="sign_up",
)
async def ask_sign_up(request: Request, services: Use) -> Response:
    """Ask for an account. It is made when the link that is sent to the address has been opened."""
    body = await read_json(request, SignUp, limit=OPEN_LIMIT)
    assert services.signing_up is not None  # noqa: S101 - else there is no such route
    await services.signing_up.ask(body, address_of(request), language_of(request))
    return Response(status_code=204)


@sign_up.post(
    "/confirm",
    status_code=201,
    response_model=SignedUp,
    responses=open_problems(401, 409, 413),
    openapi_extra=json_body(SignUpConfirm),
    operation_id="confirm_sign_up",
)
async def confirm_sign_up(request: Request, services: Use) -> Response:
    """Make the account whose link this is."""
    body = await read_json(request, SignUpConfirm, limit=OPEN_LIMIT)
    assert services.signing_up is not None  # noqa: S101 - else there is no such route
    return Json(SignedUp(name=await services.signing_up.confirm(body.link, address_of(request))), 201)


async def admit_browser(request: Request, services: Use, found: SignedInUser, label: str = "") -> Response:
    """Sign a browser in whose user is known: the answer sets the cookie."""
    address = address_of(request)
    label = label or (request.headers.get("user-agent") or "browser")[:80]
    made = await services.sign_in.admit(found.user_id, kind="browser", label=label, address=address, how=found.how)
    response = Json(BrowserUser(user=found.name, csrf=csrf_of(made.token)))
    assert made.expires_at is not None  # noqa: S101 - of browsers always
    set_cookie(response, made.token, int((made.expires_at - made.created_at).total_seconds()))
    return response


def address_of(request: Request) -> str:
    """Where a request came from."""
    return request.client.host if request.client is not None else ""


def language_of(request: Request) -> str:
    """`ko` or `en`: what the browser asks for first."""
    first = request.headers.get("accept-language", "").split(",")[0].strip().lower()
    return "ko" if first.startswith("ko") else "en"


async def _known(request: Request, services: Use, body: PasswordSignIn) -> SignedInUser:
    return await services.sign_in.password(
        body.name, body.password, address=address_of(request), code=body.code, new_password=body.new_password
    )
