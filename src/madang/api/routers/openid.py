"""Signing in by OpenID Connect: in a browser, which goes to the provider and comes back, and by device code."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from madang.api.auth import Use
from madang.api.cookies import set_cookie
from madang.api.errors import problem_for
from madang.api.problems import open_problems
from madang.api.routers.sign_in import address_of
from madang.api.wire import API, Json, NameRef, json_body, read_json
from madang.domain.errors import MadangError
from madang.schemas.api import NewToken
from madang.schemas.openid import DeviceBegun, DevicePending, DevicePoll
from madang.services.openid import BROWSER_SECONDS

router = APIRouter(prefix=f"{API}/sign-in/openid", tags=["sign-in"])

_COOKIE: Final = "__Host-madang-openid"


@router.get(
    "/{source}",
    status_code=303,
    response_class=Response,
    responses=open_problems(404, 503),
    operation_id="begin_openid",
)
async def begin(
    source: NameRef,
    request: Request,
    services: Use,
    then: Annotated[str, Query(alias="next", max_length=2000, description="A path on this server to end at.")] = "/",
) -> Response:
    """Send a browser to a provider. Needs no token."""
    base = services.public_url or str(request.base_url)
    begun = await services.openid.begin(source, f"{base.rstrip('/')}{API}/sign-in/openid/{source}/callback", then)
    response = RedirectResponse(begun.url, 303)
    response.set_cookie(
        _COOKIE, begun.sealed, max_age=BROWSER_SECONDS, path="/", secure=True, httponly=True, samesite="lax"
    )
    return response


@router.get(
    "/{source}/callback",
    status_code=303,
    response_class=Response,
    responses=open_problems(401, 404, 503),
    operation_id="finish_openid",
)
async def finish(source: NameRef, request: Request, services: Use) -> Response:
    """Where a provider sends the browser back to: signs it in and leads it on."""
    try:
        done = await services.openid.finish(
            source,
            request.cookies.get(_COOKIE),
            dict(request.query_params),
            label=(request.headers.get("user-agent") or "browser")[:80],
            address=address_of(request),
        )
    except MadangError as error:
        response = problem_for(error)
    else:
        response = RedirectResponse(done.next, 303)
        assert done.made.expires_at is not None  # noqa: S101 - of browsers always
        left = done.made.expires_at - datetime.now(UTC)
        set_cookie(response, done.made.token, int(left.total_seconds()))
    response.delete_cookie(_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return response


@router.post(
    "/{source}/device",
    response_model=DeviceBegun,
    responses=open_problems(404, 503),
    operation_id="begin_openid_device",
)
async def begin_device(source: NameRef, services: Use) -> Response:
    """Begin to sign in without a browser of one's own: the answer has a code to type elsewhere. Needs no token."""
    return Json(await services.openid.begin_device(source))


@router.post(
    "/{source}/device/poll",
    status_code=201,
    response_model=NewToken,
    responses={
        **open_problems(401, 404, 413, 503),
        202: {"model": DevicePending, "description": "Nobody has typed the code yet."},
    },
    openapi_extra=json_body(DevicePoll),
    operation_id="poll_openid_device",
)
async def poll_device(source: NameRef, request: Request, services: Use) -> Response:
    """Ask whether the code was typed; then the answer has a token. Asking too soon is answered as not yet."""
    body = await read_json(request, DevicePoll)
    address = address_of(request)
    label = body.label or f"signed in from {address or 'somewhere'}"
    found = await services.openid.poll_device(source, body.handle, label=label, address=address)
    return Json(found, 202 if isinstance(found, DevicePending) else 201)
