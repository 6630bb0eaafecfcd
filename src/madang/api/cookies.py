"""The cookie of a browser that is signed in, and what shows that a request with it comes from our own pages."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response

from madang.domain.errors import CrossSite

COOKIE: Final = "__Host-madang"
HEADER: Final = "x-csrf-token"

_SAFE: Final = ("GET", "HEAD")
_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def set_cookie(response: Response, secret: str, seconds: int) -> None:
    """Sign a browser in."""
    response.set_cookie(COOKIE, secret, max_age=seconds, path="/", secure=True, httponly=True, samesite="lax")


def drop_cookie(response: Response) -> None:
    """Sign a browser out."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")


def csrf_of(secret: str) -> str:
    """What pages have to send beside the cookie of this secret; other sites cannot know it."""
    return hashlib.sha256(f"madang csrf {secret}".encode()).hexdigest()


def cookie_of(connection: HTTPConnection) -> str | None:
    """The secret of the browser, if the request has one and no Authorization header, which goes before it."""
    return None if "authorization" in connection.headers else connection.cookies.get(COOKIE)


def require_own_page(connection: HTTPConnection, secret: str) -> None:
    """Raises CrossSite when a request with a cookie does not show that it comes from one of our own pages."""
    if connection.scope["type"] == "websocket":
        if "origin" not in connection.headers:
            raise CrossSite("A WebSocket with a cookie needs the header Origin, as browsers send it.")
        require_own_origin(connection)
        return
    if connection.scope["method"] in _SAFE:
        return
    require_own_origin(connection)
    sent = connection.headers.get(HEADER, "")
    if not hmac.compare_digest(sent.encode(), csrf_of(secret).encode()):
        raise CrossSite("Send the header X-CSRF-Token with the value of `csrf` in GET /api/v1/me.")


def require_own_origin(connection: HTTPConnection) -> None:
    """Raises CrossSite when the request says that it comes from a page of another server."""
    origin = connection.headers.get("origin")
    if origin is None:
        return
    public: str | None = connection.app.state.public_url
    ours = {_place(f"//{connection.headers.get('host', '')}", urlsplit(origin).scheme)}
    if public is not None:
        ours.add(_place(public))
    if _place(origin) not in ours:
        raise CrossSite("This request comes from a page of another server.")


def _place(url: str, scheme: str = "") -> tuple[str, int | None]:
    """Host and port. A proxy may end TLS before us, so the scheme counts only as the port that it implies."""
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or _PORTS.get(parts.scheme or scheme)
    except ValueError:
        return "", None
