"""Getting a token, and giving it back, asynchronously."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from madang.schemas.api import NewToken
from madang.schemas.openid import DeviceBegun, DevicePending, DevicePoll
from madang.schemas.sign_in import PasswordSignIn, SignInWays
from madang.sdk._transport import API, JSON, Transport

_SIGN_IN: Final = f"{API}/sign-in"


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

    async def device(self, source: str) -> DeviceBegun:
        """Begin with a browser elsewhere, at another system. Raises NotFound."""
        response = await self._transport.call("POST", f"{_openid(source)}/device", repeatable=False)
        return self._transport.parse(DeviceBegun, response.content)

    async def poll(self, source: str, handle: str, label: str = "") -> NewToken | DevicePending:
        """The token, once somebody has let this machine in; before that, when and with which handle to ask again.

        Raises Unauthorized when it was refused, or nobody has answered in time.
        """
        body = DevicePoll(handle=handle, label=label).model_dump_json().encode()
        response = await self._transport.call(
            "POST", f"{_openid(source)}/device/poll", body=body, headers=JSON, repeatable=False
        )
        if response.status_code == 202:
            return self._transport.parse(DevicePending, response.content)
        return self._transport.parse(NewToken, response.content)

    async def leave(self) -> None:
        """Take the token back that these requests are sent with."""
        await self._transport.call("DELETE", _SIGN_IN)


def _openid(source: str) -> str:
    return f"{_SIGN_IN}/openid/{quote(source, safe='')}"
