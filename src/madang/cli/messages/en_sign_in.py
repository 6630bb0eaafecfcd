"""Messages in English: one's own account, passwords and second factors."""

from __future__ import annotations

from typing import Final

MESSAGES: Final[dict[str, str]] = {
    "account.help": "Your account: its password and second factor.",
    "account.show": "Show how you sign in.",
    "account.password": "Change your password.",
    "account.sign_out_others": "Also take back all your other tokens and browser sessions.",
    "account.second_factor": "Have a code of an authenticator app asked for at sign-in.",
    "account.second_factor_off": "Do without it from now on.",
    "account.forgot": "Have a link to set a new password sent to the address of your account.",
    "account.link": "Use a link that you were given or that came by mail: it sets a password or makes your account.",
    "account.sign_up": "Ask for an account, where the server allows it.",
    "account.link_text": "The whole link.",
    "account.server": "The server. [default: the one that is used otherwise]",
    "account.factor_on": "yes, {codes} recovery codes left",
    "account.old_password": "Your password",
    "account.password_changed": "The password is changed.",
    "account.factor_removed": "The password alone is enough again.",
    "account.enrol": "Give this address to the app as a QR code, or type the secret: {secret}",
    "account.recovery_codes": "Keep these recovery codes, shown this once: each lets you in once without the app.",
    "account.link_sent": "If that can be, a link has been sent. Open it, or use it with 'madang account link'.",
    "account.whole_link": "Give the whole link, from https:// to its last letter.",
    "account.signed_up": "The account '{name}' is made. Sign in with 'madang login'.",
    "user.password": "Give somebody a first password, which has to be replaced at the next sign-in.",
    "user.password_link": "Print a link to set a password instead.",
    "user.sign_out": "Also take back all tokens of the user.",
    "user.link_or_sign_out": "Leave out --sign-out: a link changes nothing before it is used.",
    "user.password_shown_once": "Hand it over: it is shown this once.",
    "user.link_shown_once": "Hand it over: it is shown this once, and good once until {until}.",
    "user.no_second_factor": "Remove the second factor of somebody who has lost it.",
    "column.source": "SIGNS IN WITH",
    "column.password": "PASSWORD",
    "column.second_factor": "SECOND FACTOR",
    "column.last_sign_in": "LAST SIGN-IN",
}
