"""The one gate in front of HTTP and WebSocket routes alike: who is calling."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Final

from fastapi import Depends
from starlette.requests import HTTPConnection

from madang.api.cookies import COOKIE, require_own_page
from madang.api.signed import BODY, HeldBody, target_of
from madang.domain.errors import Unauthorized
from madang.domain.people import Caller
from madang.domain.signing import EMPTY, check_body, is_signed
from madang.services import Services

# What RFC 6750 lets a token consist of. Anything else never reaches the database.
_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9._~+/=-]{1,512})", re.IGNORECASE)


def services_of(connection: HTTPConnection) -> Services:
    """The use cases behind the app that serves this connection."""
    services: Services = connection.app.state.services
    return services


async def caller_of(connection: HTTPConnection) -> Caller:
    """Who sent this request, by its Authorization header or else its cookie. Raises Unauthorized, CrossSite."""
    headers = [value.decode("latin-1") for name, value in connection.scope["headers"] if name == b"authorization"]
    if not headers:
        if (secret := connection.cookies.get(COOKIE)) is not None:
            caller = await services_of(connection).tokens.authenticate_browser(secret)
            require_own_page(connection, secret)
            return _from(connection, caller)
        raise Unauthorized("Send your token as 'Authorization: Bearer TOKEN'.")
    if len(headers) == 1 and is_signed(headers[0]):
        return _from(connection, await _signed_by(connection, headers[0]))
    match = _BEARER.fullmatch(headers[0]) if len(headers) == 1 else None
    if match is None:
        raise Unauthorized("The Authorization header is malformed; write 'Authorization: Bearer TOKEN'.")
    return _from(connection, await services_of(connection).tokens.authenticate(match[1]))


def _from(connection: HTTPConnection, caller: Caller) -> Caller:
    return replace(caller, address=connection.client.host) if connection.client is not None else caller


async def _signed_by(connection: HTTPConnection, authorization: str) -> Caller:
    """Who signed this request, of which nothing was altered; the handshake of a WebSocket is a GET without a body."""
    keys, scope = services_of(connection).keys, connection.scope
    caller, signature = await keys.authenticate(authorization, scope.get("method", "GET"), target_of(scope))
    held: HeldBody | None = scope.get(BODY)
    if held is not None:
        await held.check(signature, keys)
    else:
        check_body(signature, EMPTY)
    return caller


async def _services(connection: HTTPConnection) -> Services:
    return services_of(connection)


SignedIn = Annotated[Caller, Depends(caller_of)]
"""The caller; a route that names it cannot be reached without a valid token."""

Use = Annotated[Services, Depends(_services)]
"""The use cases."""
