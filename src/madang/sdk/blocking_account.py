"""One's own account in the synchronous client; see the asynchronous one."""

from __future__ import annotations

from madang.schemas.sign_in import Account as AccountView
from madang.schemas.sign_in import RecoveryCodes, SecondFactorEnrolment, SignedUp
from madang.sdk._bridge import Bridge
from madang.sdk.account import AsyncAccount


class Account:
    """Your password and second factor."""

    def __init__(self, account: AsyncAccount, bridge: Bridge) -> None:
        self._account = account
        self._bridge = bridge

    def get(self) -> AccountView:
        """How you sign in."""
        return self._bridge.run(self._account.get())

    def change_password(self, old: str, new: str, *, code: str | None = None, sign_out_others: bool = False) -> None:
        """Change your password; `code` where there is a second factor."""
        self._bridge.run(self._account.change_password(old, new, code=code, sign_out_others=sign_out_others))

    def begin_second_factor(self, password: str) -> SecondFactorEnrolment:
        """What an authenticator app has to be given."""
        return self._bridge.run(self._account.begin_second_factor(password))

    def confirm_second_factor(self, enrolment: str, code: str) -> RecoveryCodes:
        """Have it in force, with a code of the app."""
        return self._bridge.run(self._account.confirm_second_factor(enrolment, code))

    def remove_second_factor(self, *, password: str | None = None, code: str | None = None) -> None:
        """Do without, by your password or a code."""
        self._bridge.run(self._account.remove_second_factor(password=password, code=code))

    def ask_link(self, name: str) -> None:
        """Have a link to set a new password mailed to an account."""
        self._bridge.run(self._account.ask_link(name))

    def use_link(self, link: str, new_password: str) -> None:
        """Set a password with a link."""
        self._bridge.run(self._account.use_link(link, new_password))

    def sign_up(self, name: str, email: str, password: str, *, full_name: str = "") -> None:
        """Ask for an account."""
        self._bridge.run(self._account.sign_up(name, email, password, full_name=full_name))

    def confirm_sign_up(self, link: str) -> SignedUp:
        """Make the account, with the link of the mail."""
        return self._bridge.run(self._account.confirm_sign_up(link))
