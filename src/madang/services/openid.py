"""Signing in by an OpenID Connect provider. What has begun is kept sealed by who began it, and nowhere here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from madang.domain.errors import InvalidInput, NotFound, Unauthorized, Unavailable
from madang.domain.ids import Clock
from madang.schemas.api import NewToken
from madang.schemas.openid import DeviceBegun, DevicePending
from madang.services.identity.accounts import Accounts
from madang.services.identity.oidc import BrowserSignIn, DeviceSignIn, OidcSource
from madang.services.identity.sealed import Sealer
from madang.services.identity.sources import Sources
from madang.services.sign_in import SignInService

BROWSER_SECONDS: Final = 600
"""How long somebody may take at the provider."""

_LOCAL: Final = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")
_OVER: Final = "This sign-in was not begun here, or is over. Begin again."

M = TypeVar("M", bound=BaseModel)


class _Browser(BaseModel):
    redirect_uri: str
    state: str
    nonce: str
    verifier: str
    next: str
    until: datetime


class _Device(BaseModel):
    device_code: str
    interval_seconds: int
    expires_at: datetime
    not_before: datetime  # the provider is not asked again


@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send a browser, and what it has to bring back."""

    url: str = field(repr=False)
    sealed: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """A browser session, and where the person wanted to go."""

    made: NewToken = field(repr=False)
    next: str


class OpenIdService:
    """Errors of all: NotFound for a source that is not set up, Unavailable while the provider cannot be asked."""

    def __init__(
        self, clock: Clock, *, sources: Sources, accounts: Accounts, sealer: Sealer, sign_in: SignInService
    ) -> None:
        self._clock = clock
        self._sources = sources
        self._accounts = accounts
        self._sealer = sealer
        self._sign_in = sign_in

    async def begin(self, name: str, redirect_uri: str, then: str) -> Begun:
        """Begin in a browser, which goes to the path `then` at the end. Raises InvalidInput for another address."""
        source = self._source(name)
        if not _LOCAL.fullmatch(then):
            raise InvalidInput("`next` is a path on this server, which begins with one slash.")
        begun = await source.begin(redirect_uri)
        kept = _Browser(
            redirect_uri=redirect_uri,
            state=begun.state,
            nonce=begun.nonce,
            verifier=begun.verifier,
            next=then,
            until=self._clock.now() + timedelta(seconds=BROWSER_SECONDS),
        )
        return Begun(begun.url, self._sealer.seal(kept.model_dump_json(), _purpose("browser", name)))

    async def finish(
        self, name: str, sealed: str | None, answer: dict[str, str], *, label: str, address: str
    ) -> Finished:
        """Sign in who came back with what `begin` gave. Raises Unauthorized."""
        source = self._source(name)
        kept = self._opened(_Browser, sealed, _purpose("browser", name))
        if self._clock.now() >= kept.until:
            raise Unauthorized(_OVER)
        begun = BrowserSignIn("", kept.redirect_uri, kept.state, kept.nonce, kept.verifier)
        user_id = await self._accounts.settle(await source.finish(begun, answer))
        made = await self._sign_in.admit(user_id, kind="browser", label=label, address=address, how=name)
        return Finished(made, kept.next)

    async def begin_device(self, name: str) -> DeviceBegun:
        """Begin in a terminal; the person opens an address elsewhere."""
        begun = await self._device_source(name).begin_device()
        left = int((begun.expires_at - self._clock.now()).total_seconds())
        return DeviceBegun(
            user_code=begun.user_code,
            verification_uri=begun.verification_uri,
            verification_uri_complete=begun.verification_uri_complete,
            interval=begun.interval_seconds,
            expires_in=max(left, 0),
            handle=self._handle(name, begun),
        )

    async def poll_device(self, name: str, handle: str, *, label: str, address: str) -> NewToken | DevicePending:
        """The token of who has agreed at the provider; or, while nobody has, with what to ask again and when.

        Raises Unauthorized when it was refused or is too late.
        """
        source = self._device_source(name)
        kept = self._opened(_Device, handle, _purpose("device", name))
        now = self._clock.now()
        if now >= kept.expires_at:
            raise Unauthorized("The sign-in took too long. Begin again.")
        if now < kept.not_before:
            return DevicePending(interval=kept.interval_seconds, handle=handle)
        begun = DeviceSignIn(kept.device_code, "", "", "", kept.interval_seconds, kept.expires_at)
        found = await source.poll_device(begun)
        if isinstance(found, DeviceSignIn):
            return DevicePending(interval=found.interval_seconds, handle=self._handle(name, found))
        user_id = await self._accounts.settle(found)
        return await self._sign_in.admit(user_id, kind="token", label=label, address=address, how=name)

    def _handle(self, name: str, begun: DeviceSignIn) -> str:
        kept = _Device(
            device_code=begun.device_code,
            interval_seconds=begun.interval_seconds,
            expires_at=begun.expires_at,
            not_before=self._clock.now() + timedelta(seconds=begun.interval_seconds * 0.9),
        )
        return self._sealer.seal(kept.model_dump_json(), _purpose("device", name))

    def _opened(self, model: type[M], sealed: str | None, purpose: str) -> M:
        """What was sealed. Raises Unauthorized."""
        try:
            return model.model_validate_json(self._sealer.unseal(sealed or "", purpose))
        except (Unavailable, ValidationError, UnicodeError):
            raise Unauthorized(_OVER) from None

    def _source(self, name: str) -> OidcSource:
        source = self._sources.openid.get(name)
        if source is None:
            known = ", ".join(sorted(self._sources.openid)) or "none"
            raise NotFound(f"There is no OpenID Connect provider '{name[:40]}' here. There are: {known}.")
        return source

    def _device_source(self, name: str) -> OidcSource:
        source = self._source(name)
        if not self._sources.rules[name].device:
            raise NotFound(f"'{name}' is for browsers only.")
        return source


def _purpose(flow: str, name: str) -> str:
    return f"openid {flow}:{name}"
