"""Wire models of signing in and of one's own account."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from madang.schemas.api import Id
from madang.schemas.base import Wire
from madang.schemas.people import AccountName, Email, Title

Password = Annotated[str, Field(min_length=1, max_length=1024)]
Code = Annotated[str, Field(min_length=1, max_length=64)]
LinkText = Annotated[str, Field(min_length=1, max_length=2048)]
Label = Annotated[str, Field(max_length=80, pattern=r"^[^\x00-\x1f]*$")]


class SignInSource(Wire):
    """Another system that people may sign in with."""

    name: str
    title: str
    kind: Literal["ldap", "oidc"]
    device: bool  # whether a terminal without a browser can use it


class SignInWays(Wire):
    """What ways there are to sign in."""

    password: bool
    sign_up: bool
    password_link: bool  # whether a link to set a new password can be sent by mail
    sources: list[SignInSource]


class PasswordSignIn(Wire):
    """Name and password, of an account here or of another system."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    password: Password
    code: Code | None = None  # of the authenticator app, or a recovery code
    new_password: Password | None = None  # to replace a first password
    label: Label = ""  # what the token or the browser session is called; empty: where it came from


class BrowserUser(Wire):
    """Who signed in with a browser; `csrf` goes into the header X-CSRF-Token of everything that changes something."""

    user: AccountName
    csrf: str


class PasswordChange(Wire):
    """A new password for oneself."""

    old_password: Password
    new_password: Password
    code: Code | None = None  # where the account has a second factor
    sign_out_others: bool = False  # take all other tokens and browser sessions back


class PasswordLinkAsk(Wire):
    """Whose password was forgotten: the name of an account."""

    name: Annotated[str, Field(min_length=1, max_length=200)]


class PasswordLinkUse(Wire):
    """A link that sets a password, whole or only what is behind its #."""

    link: LinkText
    new_password: Password


class Link(Wire):
    """A link, shown this once."""

    link: str
    expires_at: datetime


class PasswordReset(Wire):
    """A first password for somebody, who has to replace it; null: one that is made up."""

    password: Password | None = None
    sign_out: bool = False  # take the tokens back, too; browser sessions always are


class FirstPassword(Wire):
    """The first password of somebody, shown this once."""

    user: AccountName
    password: str


class Account(Wire):
    """One's own account, as far as signing in is concerned."""

    id: Id
    name: str
    full_name: str
    email: str
    domain: str
    source: str  # the system that keeps the password; empty: this one
    password: bool  # whether there is one here
    second_factor: bool
    recovery_codes: int  # that are left
    last_sign_in_at: datetime | None


class SecondFactorBegin(Wire):
    """The password, so that nobody who found an open session locks its owner out."""

    password: Password


class SecondFactorEnrolment(Wire):
    """What an authenticator app has to be given; in force once a code of it is sent with `enrolment`."""

    secret: str
    uri: str  # as a QR code
    enrolment: str


class SecondFactorConfirm(Wire):
    """The enrolment, and a code that shows that the app has it."""

    enrolment: Annotated[str, Field(min_length=1, max_length=1024)]
    code: Code


class RecoveryCodes(Wire):
    """Codes for who has lost the authenticator app, each good once, shown this once."""

    recovery_codes: list[str]


class SecondFactorRemove(Wire):
    """The password or a code, one of them."""

    password: Password | None = None
    code: Code | None = None


class SignUp(Wire):
    """An account to make once its mail address is confirmed."""

    name: AccountName
    email: Annotated[Email, Field(min_length=3)]
    password: Password
    full_name: Title = ""


class SignUpConfirm(Wire):
    """The link of the mail."""

    link: LinkText


class SignedUp(Wire):
    """The account that was made."""

    name: AccountName
