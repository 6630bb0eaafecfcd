"""Messages in English: signing in to servers, profiles, signing keys and tokens of projects."""

from __future__ import annotations

from typing import Final

MESSAGES: Final[dict[str, str]] = {
    "main.profile": "Server to speak to: the name of a profile, or 'local' for this machine's own.",
    "key.help": "Signing keys, for machines that must not send a token: see docs/signing.md.",
    "key.ls": "List your signing keys.",
    "key.add": "Make a signing key.",
    "key.rm": "Take a signing key back; what it opened is closed.",
    "key.id": "Its id, see 'madang key ls'.",
    "key.none": "You have no signing keys.",
    "key.shown_once": (
        "Keep the secret now: it is shown this once. With these variables and MADANG_URL set, each request is signed."
    ),
    "token.project": "Tokens of this project, each of a robot that is in it only.",
    "token.role": "What the robot is in the project. [default: member]",
    "token.role_of_project": "--role goes with --project: a token of your own may do what you may.",
    "profile.help": "Profiles: the servers that you have signed in to.",
    "profile.ls": "List the profiles.",
    "profile.use": "Use a profile where nothing else is said; 'local' for this machine's own server.",
    "profile.rm": "Forget a profile. 'madang logout' also takes its token back.",
    "profile.name": "Name of a profile.",
    "profile.json": "Print JSON, without the tokens.",
    "profile.none": "There are no profiles; 'madang login URL' makes one.",
    "login.help": "Sign in to a server, and keep the way to it as a profile.",
    "login.url": "Address of the server. [default: that of the profile, or this machine's]",
    "login.profile": "What to call it. [default: after the server]",
    "login.user": "Name of the account; asked for when absent.",
    "login.token": "With an access token, typed or on standard input.",
    "login.device": "With a browser anywhere, at this other system.",
    "login.one_way": "--token goes without --user and --device.",
    "login.user_prompt": "User",
    "login.password_prompt": "Password",
    "login.code_prompt": "Code of your authenticator app, or a recovery code",
    "login.new_password_prompt": "New password",
    "login.again_prompt": "The new password again",
    "login.not_the_same": "These two passwords are not the same; nothing was changed.",
    "login.token_prompt": "Access token",
    "login.no_terminal": "There is no terminal to ask for '{prompt}' on; use {option}.",
    "login.device_open": "Open {uri} in a browser and type {code}",
    "login.device_late": "Nobody let this machine in in time. Try again.",
    "login.done": "You are {user} at {url}, kept as profile '{profile}'.",
    "logout.help": "Take the token of a profile back and forget the profile.",
    "logout.profile": "Name of the profile. [default: the one in use]",
    "logout.nothing": "You are not signed in by a profile: take a token back with 'madang token rm'.",
    "logout.away": (
        "{url} does not answer: the profile is forgotten, but its token stays good until it is taken back."
    ),
    "column.server": "SERVER",
    "column.profile": "PROFILE",
    "column.default": "DEFAULT",
}
