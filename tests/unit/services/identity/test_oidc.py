"""A provider that answers oddly, slowly or not at all signs nobody in and is told what is wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from madang.domain.errors import StartupError, Unauthorized, Unavailable
from madang.services.identity.base import Identity
from madang.services.identity.id_token import UnknownKey
from madang.services.identity.oidc import BrowserSignIn, OidcSettings, OidcSource

ISSUER = "https://id.lab.example/realm"
KEY = RSAKey.generate_key(2048, parameters={"kid": "one"})
CALLBACK = "https://madang.lab.example/callback"


class _Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


class _Provider:
    """Answers by path; each answer can be replaced."""

    def __init__(self, clock: _Clock) -> None:
        self.clock = clock
        self.asked: list[str] = []
        self.key, self.claims = KEY, dict[str, Any]()
        self.metadata: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize?tenant=lab",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
            "userinfo_endpoint": f"{ISSUER}/userinfo",
            "device_authorization_endpoint": f"{ISSUER}/device",
        }
        self.userinfo: dict[str, Any] = {"sub": "u1"}
        self.answers: dict[str, Callable[[httpx.Request], httpx.Response]] = {}

    async def handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/realm")
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path](request)
        now = int(self.clock.now().timestamp())
        claims = {"iss": ISSUER, "sub": "u1", "aud": "madang", "exp": now + 60, "iat": now} | self.claims
        found: dict[str, Any] = {
            "/.well-known/openid-configuration": self.metadata,
            "/keys": {"keys": [self.key.as_dict(private=False)]},
            "/userinfo": self.userinfo,
            "/device": {"device_code": "d", "user_code": "u", "verification_uri": "https://v", "expires_in": 600},
            "/token": {
                "access_token": "a",
                "id_token": jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key),
            },
        }
        return httpx.Response(200, json=found[path])


@pytest.fixture
def provider() -> _Provider:
    return _Provider(_Clock())


@pytest.fixture
async def source(provider: _Provider) -> AsyncIterator[OidcSource]:
    settings = OidcSettings("lab", ISSUER, "madang", "s", timeout_seconds=0.5)
    made = OidcSource(settings, provider.clock, httpx.MockTransport(provider.handle))
    yield made
    await made.close()


async def _sign_in(source: OidcSource, provider: _Provider) -> Identity:
    begun = await source.begin(CALLBACK)
    provider.claims["nonce"] = begun.nonce
    return await source.finish(begun, {"state": begun.state, "code": "c"})


async def test_an_address_that_has_a_query_keeps_it(source: OidcSource) -> None:
    assert (await source.begin(CALLBACK)).url.startswith(f"{ISSUER}/authorize?tenant=lab&response_type=code&")


async def test_what_a_provider_tells_little_about_has_a_name_all_the_same(
    source: OidcSource, provider: _Provider
) -> None:
    assert await _sign_in(source, provider) == Identity("lab", "u1", "u1")
    provider.userinfo |= {"email": "minji@lab.example", "email_verified": "true", "groups": "gpu"}
    found = await _sign_in(source, provider)
    assert (found.name, found.groups, found.email_verified) == ("minji", frozenset({"gpu"}), False)


async def test_claims_in_the_token_are_enough(source: OidcSource, provider: _Provider) -> None:
    del provider.metadata["userinfo_endpoint"]
    provider.claims |= {"preferred_username": "minji", "groups": ["gpu", 7]}
    found = await _sign_in(source, provider)
    assert (found.name, found.groups) == ("minji", frozenset({"gpu"}))


async def test_what_is_told_about_somebody_else_is_not_believed(source: OidcSource, provider: _Provider) -> None:
    provider.userinfo = {"sub": "u2", "groups": ["admins"]}
    with pytest.raises(Unauthorized, match="another user"):
        await _sign_in(source, provider)


async def test_addresses_and_keys_are_asked_for_once_an_hour(source: OidcSource, provider: _Provider) -> None:
    for _ in range(3):
        await _sign_in(source, provider)
    assert provider.asked.count("/keys") == provider.asked.count("/.well-known/openid-configuration") == 1
    provider.clock.at += timedelta(minutes=61)
    await _sign_in(source, provider)
    assert provider.asked.count("/keys") == provider.asked.count("/.well-known/openid-configuration") == 2


async def test_a_new_key_is_fetched_when_it_appears(source: OidcSource, provider: _Provider) -> None:
    await _sign_in(source, provider)
    provider.key = RSAKey.generate_key(2048, parameters={"kid": "two"})
    await _sign_in(source, provider)
    assert provider.asked.count("/keys") == 2


async def test_made_up_keys_do_not_make_us_ask_again_and_again(source: OidcSource, provider: _Provider) -> None:
    provider.answers["/keys"] = lambda _: httpx.Response(200, json={"keys": []})
    for _ in range(10):
        with pytest.raises(UnknownKey):
            await _sign_in(source, provider)
    assert provider.asked.count("/keys") == 2
    provider.clock.at += timedelta(seconds=31)
    del provider.answers["/keys"]
    await _sign_in(source, provider)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(200, text="<html>welcome</html>"), "no JSON"),
        (httpx.Response(200, json=["list"]), "no JSON"),
        (httpx.Response(200, content=b"\xff\xfe"), "no JSON"),
        (httpx.Response(404, json={"message": "not here"}), "status 404"),
        (httpx.Response(500, text=""), "status 500"),
        (httpx.Response(302, headers={"location": "https://evil.example/"}), "status 302"),
        (httpx.Response(200, content=b" " * (1 << 20) + b"{}"), "too long"),
        (httpx.Response(200, json={"issuer": "https://evil.example"}), "calls itself 'https://evil.example'"),
        (httpx.Response(200, json={}), "calls itself 'None'"),
        (httpx.Response(200, json={"issuer": ISSUER}), "no authorization_endpoint"),
        (httpx.Response(200, json={"issuer": ISSUER, "authorization_endpoint": "http://id.lab.example/"}), "https"),
    ],
)
async def test_an_odd_description_is_told(
    source: OidcSource, provider: _Provider, answer: httpx.Response, words: str
) -> None:
    provider.answers["/.well-known/openid-configuration"] = lambda _: answer
    with pytest.raises(Unavailable, match=words):
        await source.begin(CALLBACK)


async def test_a_provider_that_hangs_is_not_waited_for_long() -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    source = OidcSource(OidcSettings("lab", ISSUER, "madang", timeout_seconds=0.1), _Clock(), httpx.MockTransport(hang))
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="does not answer: TimeoutError"):
            await source.begin(CALLBACK)
    await source.close()


@pytest.mark.parametrize(
    ("status", "answer", "kind", "words"),
    [
        (400, {"error": "invalid_grant"}, Unauthorized, "took too long"),
        (401, {"error": "invalid_client"}, Unavailable, "refuses this server as a client"),
        (400, {"error": "unauthorized_client", "error_description": "no"}, Unavailable, "client: no"),
        (400, {"error": "server_error", "error_description": "oops"}, Unavailable, "server_error: oops"),
        (200, {"access_token": "a"}, Unavailable, "no ID token"),
        (200, {"id_token": 7}, Unavailable, "no ID token"),
        (200, {"id_token": "x.y.z"}, Unauthorized, "cannot be trusted"),
    ],
)
async def test_what_can_come_instead_of_a_token(
    source: OidcSource, provider: _Provider, status: int, answer: dict[str, Any], kind: type[Exception], words: str
) -> None:
    provider.answers["/token"] = lambda _: httpx.Response(status, json=answer)
    with pytest.raises(kind, match=words):
        await _sign_in(source, provider)


async def test_a_device_that_asks_too_often_slows_down(source: OidcSource, provider: _Provider) -> None:
    begun = await source.begin_device()
    assert begun.interval_seconds == 5
    assert begun.expires_at == provider.clock.now() + timedelta(minutes=10)
    provider.answers["/token"] = lambda _: httpx.Response(400, json={"error": "slow_down"})
    later = await source.poll_device(begun)
    assert not isinstance(later, Identity)
    assert later.interval_seconds == 10
    provider.answers["/token"] = lambda _: httpx.Response(400, json={"error": "expired_token"})
    with pytest.raises(Unauthorized, match="took too long"):
        await source.poll_device(later)


async def test_a_provider_without_device_codes_is_told(source: OidcSource, provider: _Provider) -> None:
    del provider.metadata["device_authorization_endpoint"]
    with pytest.raises(Unavailable, match="no device_authorization_endpoint"):
        await source.begin_device()


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_the_secret_is_sent_as_the_provider_wants_it(
    source: OidcSource, provider: _Provider, method: str
) -> None:
    provider.metadata["token_endpoint_auth_methods_supported"] = [method]
    seen: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(400, json={"error": "x"})

    provider.answers["/device"] = refuse
    with pytest.raises(Unavailable):
        await source.begin_device()
    assert ("Authorization" in seen[0].headers) == (method == "client_secret_basic")
    assert (b"client_secret=s" in seen[0].content) == (method == "client_secret_post")


@pytest.mark.parametrize("answer", [{}, {"state": "é"}, {"state": "s", "error": "x" * 5000}, {"state": "s"}])
async def test_an_answer_that_is_none_is_refused_before_anything_is_asked(
    source: OidcSource, provider: _Provider, answer: dict[str, str]
) -> None:
    begun = BrowserSignIn("", CALLBACK, "s", "n", "v")
    with pytest.raises(Unauthorized) as caught:
        await source.finish(begun, answer)
    assert "/token" not in provider.asked
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("issuer", ["http://id.lab.example", "id.lab.example", "https://", "ftp://id.lab.example", ""])
def test_only_encrypted_providers_are_taken(issuer: str) -> None:
    with pytest.raises(StartupError, match="https"):
        OidcSource(OidcSettings("lab", issuer, "madang"), _Clock())
