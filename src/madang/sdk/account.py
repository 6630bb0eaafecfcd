"""One's own account, asynchronously; and what people without a credential do with links."""

from __future__ import annotations

from typing import Final

from madang.schemas.base import Wire
from madang.schemas.sign_in import (
    Account,
    PasswordChange,
    PasswordLinkAsk,
    PasswordLinkUse,
    RecoveryCodes,
    SecondFactorBegin,
    SecondFactorConfirm,
    SecondFactorEnrolment,
    SecondFactorRemove,
    SignedUp,
    SignUp,
    SignUpConfirm,
)
from madang.sdk._transport import API, JSON, Method, Transport

_ME: Final = f"{API}/me"
_SIGN_IN: Final = f"{API}/sign-in"
_SIGN_UP: Final = f"{API}/sign-up"


class AsyncAccount:
    """Your password and second factor. Errors of all: Forbidden, TooManyAttempts; InvalidInput for a wrong password or
    code, Conflict for an account whose password another system keeps."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def get(self) -> Account:
        """How you sign in."""
        return await self._transport.get(Account, f"{_ME}/account")

    async def change_password(
        self, old: str, new: str, *, code: str | None = None, sign_out_others: bool = False
    ) -> None:
        """Change your password; `code` where there is a second factor."""
        body = PasswordChange(old_password=old, new_password=new, code=code, sign_out_others=sign_out_others)
        await self._send("PUT", f"{_ME}/password", body)

    async def begin_second_factor(self, password: str) -> SecondFactorEnrolment:
        """What an authenticator app has to be given."""
        content = await self._send("POST", f"{_ME}/second-factor", SecondFactorBegin(password=password))
        return self._transport.parse(SecondFactorEnrolment, content)

    async def confirm_second_factor(self, enrolment: str, code: str) -> RecoveryCodes:
        """Have it in force, with a code of the app. The recovery codes are only in this answer."""
        content = await self._send("PUT", f"{_ME}/second-factor", SecondFactorConfirm(enrolment=enrolment, code=code))
        return self._transport.parse(RecoveryCodes, content)

    async def remove_second_factor(self, *, password: str | None = None, code: str | None = None) -> None:
        """Do without, by your password or a code."""
        await self._send("POST", f"{_ME}/second-factor/remove", SecondFactorRemove(password=password, code=code))

    async def ask_link(self, name: str) -> None:
        """Have a link to set a new password mailed to an account. Needs no credential. NotFound: there is no mail."""
        await self._send("POST", f"{_SIGN_IN}/password-link", PasswordLinkAsk(name=name))

    async def use_link(self, link: str, new_password: str) -> None:
        """Set a password with a link. Needs no credential. Raises Unauthorized for one that is not good any more."""
        await self._send("POST", f"{_SIGN_IN}/password-link/use", PasswordLinkUse(link=link, new_password=new_password))

    async def sign_up(self, name: str, email: str, password: str, *, full_name: str = "") -> None:
        """Ask for an account. Needs no credential. Raises NameInUse; NotFound where nobody may."""
        await self._send("POST", _SIGN_UP, SignUp(name=name, email=email, password=password, full_name=full_name))

    async def confirm_sign_up(self, link: str) -> SignedUp:
        """Make the account, with the link of the mail. Needs no credential."""
        return self._transport.parse(
            SignedUp, await self._send("POST", f"{_SIGN_UP}/confirm", SignUpConfirm(link=link))
        )

    async def _send(self, method: Method, path: str, body: Wire) -> bytes:
        response = await self._transport.call(
            method, path, body=body.model_dump_json().encode(), headers=JSON, repeatable=False
        )
        return response.content
