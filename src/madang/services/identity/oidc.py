"""Sign-in by an OpenID Connect provider: in a browser (authorization code with PKCE) and by device code (RFC 8628).

The flows are few lines over httpx, and joserfc checks tokens; Authlib's own client is for another HTTP library.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, cast
from urllib.parse import quote, urlencode, urlsplit

import httpx
from joserfc.jwk import KeySet

from madang.domain.errors import MadangError, StartupError, Unauthorized, Unavailable
from madang.domain.ids import Clock
from madang.domain.names import is_loopback
from madang.services.identity.base import Identity
from madang.services.identity.id_token import Claims, UnknownKey, check_id_token, public_keys, texts

_REMEMBER: Final = timedelta(hours=1)
_RENEW_AT_MOST_EVERY: Final = timedelta(seconds=30)
_ANSWER_AT_MOST: Final = 1 << 20
_DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_GROUPS_AT_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """A provider, and this server as its client.

    Attributes:
        name: what it is called here.
        issuer: exactly as the provider calls itself.
        client_secret: empty for a public client.
        groups_claim: where groups stand, in the ID token or the user's information.
    """

    name: str
    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"
    timeout_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class BrowserSignIn:
    """A sign-in that has begun. All but `url` is kept for the same browser, hidden from others, and used once."""

    url: str = field(repr=False)
    redirect_uri: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeviceSignIn:
    """A sign-in by device code. `device_code` is a secret; the person gets the other code and where to type it."""

    device_code: str = field(repr=False)
    user_code: str = field(repr=False)
    verification_uri: str
    verification_uri_complete: str = field(repr=False)
    interval_seconds: int
    expires_at: datetime


class OidcSource:
    """A provider. Its addresses and keys are remembered for an hour; keys are asked for when a new one appears."""

    def __init__(self, settings: OidcSettings, clock: Clock, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Raises StartupError when the issuer is no address that can be trusted."""
        _require_safe(settings.issuer, StartupError)
        self._settings = settings
        self._clock = clock
        self._client = httpx.AsyncClient(timeout=settings.timeout_seconds, transport=transport)
        self._lock = asyncio.Lock()
        self._metadata: tuple[Claims, datetime] | None = None
        self._keys: tuple[KeySet, datetime] | None = None
        self._renewed: datetime | None = None

    @property
    def name(self) -> str:
        """The name under which it is set up here."""
        return self._settings.name

    async def close(self) -> None:
        """End what it has open."""
        await self._client.aclose()

    async def begin(self, redirect_uri: str) -> BrowserSignIn:
        """Where to send a browser. Raises Unavailable."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        address = await self._endpoint("authorization_endpoint")
        query = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self._settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        url = f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(query)}"
        return BrowserSignIn(url, redirect_uri, state, nonce, verifier)

    async def finish(self, begun: BrowserSignIn, answer: Mapping[str, str]) -> Identity:
        """Who came back; `answer` is the query with which the browser came. Raises Unauthorized, Unavailable."""
        if not hmac.compare_digest(answer.get("state", "").encode(), begun.state.encode()):
            raise Unauthorized("This sign-in was not begun here, or is over. Begin again.")
        await self._check_issuer(answer.get("iss"))
        if "error" in answer:
            detail = answer.get("error_description") or answer["error"]
            raise Unauthorized(f"'{self.name}' did not sign you in: {detail[:200]}.")
        if not answer.get("code"):
            raise Unauthorized(f"'{self.name}' sent no code along. Begin again.")
        tokens = await self._tokens(
            {
                "grant_type": "authorization_code",
                "code": answer["code"],
                "redirect_uri": begun.redirect_uri,
                "code_verifier": begun.verifier,
            }
        )
        if "error" in tokens:
            raise self._not_given(tokens)
        return await self._identity(tokens, begun.nonce)

    async def begin_device(self) -> DeviceSignIn:
        """A code for somebody to type elsewhere. Raises Unavailable, also when the provider has no such flow."""
        body = {"scope": " ".join(self._settings.scopes)}
        answer = await self._post(await self._endpoint("device_authorization_endpoint"), body)
        if "error" in answer:
            raise self._not_given(answer)
        try:
            return DeviceSignIn(
                device_code=str(answer["device_code"]),
                user_code=str(answer["user_code"]),
                verification_uri=str(answer["verification_uri"]),
                verification_uri_complete=str(answer.get("verification_uri_complete") or ""),
                interval_seconds=int(str(answer.get("interval", 5))),
                expires_at=self._clock.now() + timedelta(seconds=int(str(answer["expires_in"]))),
            )
        except (KeyError, ValueError) as error:
            raise self._broken(f"its device code lacks {error}") from error

    async def poll_device(self, begun: DeviceSignIn) -> Identity | DeviceSignIn:
        """Who has typed the code; or, while nobody has, what to ask with again after its `interval_seconds`.

        Raises Unauthorized when it was refused or is too late, Unavailable.
        """
        tokens = await self._tokens({"grant_type": _DEVICE_GRANT, "device_code": begun.device_code})
        if "error" not in tokens:
            return await self._identity(tokens, None)
        if tokens["error"] == "authorization_pending":
            return begun
        if tokens["error"] == "slow_down":
            return replace(begun, interval_seconds=begun.interval_seconds + 5)  # RFC 8628, 3.5
        raise self._not_given(tokens)

    async def _identity(self, tokens: Claims, nonce: str | None) -> Identity:
        token = tokens.get("id_token")
        if not isinstance(token, str):
            raise self._broken("it sent no ID token; is `openid` among the scopes?")
        claims = dict(await self._checked(token, nonce))
        subject = str(claims["sub"])
        access = tokens.get("access_token")
        if isinstance(access, str) and (await self._known()).get("userinfo_endpoint"):
            claims |= await self._userinfo(access, subject)
        email = claims.get("email")
        email = email if isinstance(email, str) else ""
        return Identity(
            source=self.name,
            subject=subject,
            name=_text(claims, self._settings.name_claim) or email.partition("@")[0] or subject,
            email=email,
            full_name=_text(claims, "name"),
            groups=frozenset(list(texts(claims.get(self._settings.groups_claim)))[:_GROUPS_AT_MOST]),
            email_verified=bool(email) and claims.get("email_verified") is True,
        )

    async def _checked(self, token: str, nonce: str | None) -> Claims:
        """The claims of a token; when its key is unknown, with the keys of now."""
        settings = self._settings
        for fresh in (False, True):
            keys = await self._known_keys(fresh)
            try:
                return check_id_token(
                    token,
                    keys,
                    issuer=settings.issuer,
                    client_id=settings.client_id,
                    nonce=nonce,
                    now=self._clock.now(),
                )
            except UnknownKey:
                if fresh:
                    raise
        raise AssertionError

    async def _userinfo(self, access: str, subject: str) -> dict[str, object]:
        """What the provider tells about the user, which is only believed when it is about the same one."""
        headers = {"Authorization": f"Bearer {access}"}
        found = await self._get(await self._endpoint("userinfo_endpoint"), headers)
        if found.get("sub") != subject:
            raise Unauthorized(f"'{self.name}' told about another user than the one who signed in. Sign in again.")
        reserved = {"iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "azp"}
        return {name: value for name, value in found.items() if name not in reserved}

    async def _check_issuer(self, told: str | None) -> None:
        """An answer of another provider is not taken for one of this (RFC 9207)."""
        required = (await self._known()).get("authorization_response_iss_parameter_supported") is True
        if (told is None and required) or (told is not None and told != self._settings.issuer):
            raise Unauthorized(f"The answer is not from '{self.name}'. Begin again.")

    async def _known(self) -> Claims:
        """The provider's description of itself."""
        async with self._lock:
            now = self._clock.now()
            if self._metadata is None or now - self._metadata[1] > _REMEMBER:
                issuer = self._settings.issuer
                found = await self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                if found.get("issuer") != issuer:
                    raise self._broken(f"it calls itself {str(found.get('issuer'))[:200]!r}; set the issuer to that")
                self._metadata = (found, now)
            return self._metadata[0]

    async def _known_keys(self, fresh: bool) -> KeySet:
        """The provider's keys; asked for anew when `fresh`, but not for every token that somebody made up."""
        address = await self._endpoint("jwks_uri")
        async with self._lock:
            now = self._clock.now()
            if fresh and (self._renewed is None or now - self._renewed > _RENEW_AT_MOST_EVERY):
                self._keys, self._renewed = None, now
            if self._keys is None or now - self._keys[1] > _REMEMBER:
                self._keys = (public_keys(await self._get(address)), now)
            return self._keys[0]

    async def _endpoint(self, name: str) -> str:
        address = (await self._known()).get(name)
        if not isinstance(address, str):
            raise self._broken(f"it has no {name}")
        _require_safe(address, Unavailable)
        return address

    async def _tokens(self, body: Mapping[str, str]) -> Claims:
        return await self._post(await self._endpoint("token_endpoint"), body)

    async def _post(self, address: str, body: Mapping[str, str]) -> Claims:
        """Ask as this client. An answer with `error` is one too, unless it says that we are not known there."""
        settings = self._settings
        form = dict(body)
        headers = {"Accept": "application/json"}
        methods = texts((await self._known()).get("token_endpoint_auth_methods_supported", "client_secret_basic"))
        if not settings.client_secret:
            form["client_id"] = settings.client_id
        elif "client_secret_basic" in methods:
            pair = f"{quote(settings.client_id, safe='')}:{quote(settings.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            form["client_id"] = settings.client_id
        else:
            form |= {"client_id": settings.client_id, "client_secret": settings.client_secret}
        answer = await self._send("POST", address, headers, form)
        if answer.get("error") in ("invalid_client", "unauthorized_client"):
            raise Unavailable(
                f"'{self.name}' ({settings.issuer}) refuses this server as a client: "
                f"{_text(answer, 'error_description') or answer['error']}. An administrator has to correct the "
                "client's id and secret, or what the provider allows it."
            )
        return answer

    async def _get(self, address: str, headers: Mapping[str, str] | None = None) -> Claims:
        answer = await self._send("GET", address, {"Accept": "application/json", **(headers or {})}, None)
        if "error" in answer:
            raise self._broken(f"{urlsplit(address).path} says {str(answer['error'])[:200]}")
        return answer

    async def _send(
        self, method: str, address: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> Claims:
        """An answer in JSON, of whatever status; no redirect is followed. Raises Unavailable."""
        try:
            async with (
                asyncio.timeout(self._settings.timeout_seconds),
                self._client.stream(method, address, headers=dict(headers), data=form) as response,
            ):
                body = b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _ANSWER_AT_MOST:
                        raise self._broken("its answer is too long")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            detail = str(error)[:200] or type(error).__name__
            raise Unavailable(
                f"'{self.name}' ({self._settings.issuer}) does not answer: {detail}. Try again later."
            ) from error
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict) or (not response.is_success and "error" not in found):
            raise self._broken(
                f"{method} {urlsplit(address).path} gave status {response.status_code} and no JSON of use"
            )
        return cast("Claims", found)

    def _not_given(self, answer: Claims) -> MadangError:
        """What the provider's refusal means for the person."""
        error = str(answer["error"])[:100]
        if error == "access_denied":
            return Unauthorized(f"The sign-in at '{self.name}' was refused or given up.")
        if error in ("invalid_grant", "expired_token"):
            return Unauthorized(f"The sign-in at '{self.name}' took too long, or was used before. Begin again.")
        return self._broken(f"it says {error}: {_text(answer, 'error_description')[:200]}")

    def _broken(self, why: str) -> Unavailable:
        return Unavailable(f"'{self.name}' ({self._settings.issuer}) cannot be used: {why}. Tell an administrator.")


def _require_safe(address: str, kind: type[MadangError]) -> None:
    """Passwords and codes travel encrypted, or stay on this machine."""
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname:
        return
    if not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise kind(f"'{address[:200]}' is no address for sign-in: it has to begin with https://.")


def _text(claims: Claims, name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""
