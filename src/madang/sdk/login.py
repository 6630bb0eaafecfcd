"""Getting a token, and giving it back, asynchronously."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from madang.schemas.api import NewToken
from madang.schemas.base import Wire
from madang.schemas.sign_in import PasswordSignIn, SignInWays
from madang.sdk._transport import API, JSON, Transport

_SIGN_IN: Final = f"{API}/sign-in"


class DeviceCode(Wire):
    """What somebody types into a browser elsewhere to let this machine in."""

    user_code: str
    verification_uri: str
    verification_uri_complete: str | None = None
    interval: float  # seconds between two questions whether it has been done
    expires_in: float
    handle: str


class _Poll(Wire):
    handle: str
    label: str = ""


class AsyncLogin:
    """Ways to sign in; none of them needs a credential."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def ways(self) -> SignInWays:
        """What ways this server has."""
        return await self._transport.get(SignInWays, _SIGN_IN)

    async def password(self, asked: PasswordSignIn) -> NewToken:
        """By name and password.

        Raises SecondFactorRequired, PasswordChangeRequired, TooManyAttempts, Unauthorized.
        """
        body = asked.model_dump_json().encode()
        response = await self._transport.call("POST", f"{_SIGN_IN}/token", body=body, headers=JSON, repeatable=False)
        return self._transport.parse(NewToken, response.content)

    async def device(self, source: str) -> DeviceCode:
        """Begin with a browser elsewhere, at another system. Raises NotFound."""
        response = await self._transport.call("POST", f"{_openid(source)}/device", repeatable=False)
        return self._transport.parse(DeviceCode, response.content)

    async def poll(self, source: str, handle: str, label: str = "") -> NewToken | None:
        """The token, once somebody has let this machine in; None before. Raises Unauthorized when it was refused."""
        body = _Poll(handle=handle, label=label).model_dump_json().encode()
        response = await self._transport.call(
            "POST", f"{_openid(source)}/device/poll", body=body, headers=JSON, repeatable=False
        )
        return None if response.status_code == 202 else self._transport.parse(NewToken, response.content)

    async def leave(self) -> None:
        """Take the token back that these requests are sent with."""
        await self._transport.call("DELETE", _SIGN_IN)


def _openid(source: str) -> str:
    return f"{_SIGN_IN}/openid/{quote(source, safe='')}"
