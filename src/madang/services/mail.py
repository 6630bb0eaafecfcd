"""Mail to people: sent in the background over SMTP, tried again for some minutes, in Korean and English."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog

from madang.config import Settings
from madang.domain.errors import StartupError
from madang.domain.names import is_loopback

_log = structlog.get_logger(__name__)

_AT_MOST: Final = 1000  # under way; more are dropped, and people ask again
_PAUSES: Final = (0.0, 5.0, 30.0, 120.0)
_TIMEOUT: Final = 20.0

TEXTS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "password": {
        "en": (
            "Set a new password for Madang",
            "Somebody, probably you, asked for a new password for the account '{name}'.\n\nOpen this link to set one. "
            "It is good once, until {until} UTC:\n\n{link}\n\nIf it was not you, do nothing: nothing has changed.\n",
        ),
        "ko": (
            "마당 비밀번호 다시 정하기",
            "'{name}' 계정의 새 비밀번호 요청을 받았습니다.\n\n아래 링크에서 정해 주세요. {until} UTC까지 한 번만 "
            "쓸 수 있습니다.\n\n{link}\n\n요청한 적이 없다면 그냥 두세요. 아무것도 바뀌지 않았습니다.\n",
        ),
    },
    "sign_up": {
        "en": (
            "Confirm your account of Madang",
            "Somebody, probably you, asked for the account '{name}' with this address.\n\nOpen this link to have it "
            "made. It is good once, until {until} UTC:\n\n{link}\n\nIf it was not you, do nothing.\n",
        ),
        "ko": (
            "마당 계정 확인",
            "이 주소로 '{name}' 계정을 만들어 달라는 요청을 받았습니다.\n\n아래 링크를 열면 계정이 만들어집니다. "
            "{until} UTC까지 한 번만 쓸 수 있습니다.\n\n{link}\n\n요청한 적이 없다면 그냥 두세요.\n",
        ),
    },
    "sign_up_again": {
        "en": (
            "You have an account of Madang",
            "Somebody, probably you, asked for an account with this address. There is one already: '{name}'. Sign in "
            "with it, or ask for a new password on the page where you sign in: {link}\n",
        ),
        "ko": (
            "마당 계정이 이미 있습니다",
            "이 주소로 계정을 만들어 달라는 요청을 받았습니다. 이미 '{name}' 계정이 있습니다. 그 계정으로 "
            "로그인하거나, 로그인 화면에서 새 비밀번호를 요청해 주세요: {link}\n",
        ),
    },
    "invitation": {
        "en": (
            "Invitation into the project {project}",
            "{sender} invites you into the project '{project}' as {role}.\n\nOpen this link to join. It is good until "
            "{until} UTC:\n\n{link}\n\nOn a terminal, if you have an account: madang join LINK\n",
        ),
        "ko": (
            "{project} 프로젝트 초대",
            "{sender} 님이 '{project}' 프로젝트에 {role} 역할로 초대했습니다.\n\n아래 링크를 열어 참여해 주세요. "
            "{until} UTC까지 쓸 수 있습니다.\n\n{link}\n\n계정이 있으면 터미널에서도 됩니다: madang join 링크\n",
        ),
    },
    "first_password": {
        "en": (
            "Your account of Madang",
            "{sender} has made an account for you: '{name}'.\n\nOpen this link to choose a password. It is good once, "
            "until {until} UTC:\n\n{link}\n",
        ),
        "ko": (
            "마당 계정 안내",
            "{sender} 님이 '{name}' 계정을 만들었습니다.\n\n아래 링크에서 비밀번호를 정해 주세요. {until} UTC까지 한 "
            "번만 쓸 수 있습니다.\n\n{link}\n",
        ),
    },
}
"""Subject and text by kind and language."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail is handed over. `tls`: from the start, after STARTTLS, or not at all."""

    host: str
    port: int
    user: str | None
    password: str | None
    implicit: bool
    starttls: bool

    @classmethod
    def parse(cls, url: str) -> Server:
        """`smtps://user:password@host`, `smtp://...` with STARTTLS, which only this machine may do without.

        Raises StartupError.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise StartupError("MADANG_SMTP_URL is malformed. Write e.g. smtp://user:password@host:587.") from None
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise StartupError("MADANG_SMTP_URL is malformed. Write e.g. smtp://user:password@host:587.")
        implicit = parts.scheme == "smtps"
        return cls(
            host=parts.hostname,
            port=port or (465 if implicit else 587),
            user=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
            implicit=implicit,
            starttls=not implicit and not is_loopback(parts.hostname),
        )


class Mailer:
    """Takes mail and returns at once, so that an answer does not tell whether one was sent."""

    def __init__(self, server: Server, sender: str, public_url: str) -> None:
        self._server = server
        self._sender = sender
        self.public_url: Final = public_url
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def open(cls, settings: Settings) -> Mailer | None:
        """The mailer of the settings, None without MADANG_SMTP_URL. Raises StartupError for half of the settings."""
        if settings.smtp_url is None:
            if settings.sign_up:
                raise StartupError("MADANG_SIGN_UP needs mail to confirm addresses: set MADANG_SMTP_URL, too.")
            return None
        if settings.mail_from is None or settings.public_url is None:
            raise StartupError(
                "Mail needs MADANG_MAIL_FROM, its sender, and MADANG_PUBLIC_URL, to which its links lead."
            )
        return cls(Server.parse(settings.smtp_url), settings.mail_from, settings.public_url)

    def send(self, to: str, kind: str, language: str, values: Mapping[str, str]) -> None:
        """Send a text of TEXTS."""
        subject, text = TEXTS[kind][language]
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, to, subject.format(**values)
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text.format(**values))
        if len(self._tasks) >= _AT_MOST:
            _log.warning("mail_dropped")
            return
        task = asyncio.create_task(self._deliver(message, to))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Returns when nothing is under way."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()

    async def _deliver(self, message: EmailMessage, to: str) -> None:
        server = self._server
        for pause in _PAUSES:
            await asyncio.sleep(pause)
            try:
                await aiosmtplib.send(
                    message,
                    recipients=[to],
                    hostname=server.host,
                    port=server.port,
                    username=server.user,
                    password=server.password,
                    use_tls=server.implicit,
                    start_tls=server.starttls,
                    timeout=_TIMEOUT,
                )
                return
            except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPAuthenticationError) as error:
                _log.warning("mail_refused", error=type(error).__name__)
                return
            except (aiosmtplib.SMTPException, OSError) as error:
                _log.warning("mail_not_sent", error=type(error).__name__)
