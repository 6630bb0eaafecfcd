"""Sign-in by a real OpenID Connect provider, in a browser and by device code."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from madang.domain.errors import Unauthorized, Unavailable
from madang.services.identity.base import Identity
from madang.services.identity.oidc import DeviceSignIn, OidcSource
from tests.conftest import open_directory
from tests.openid import CALLBACK, Provider, browse, require_provider

WORDS = "correct horse battery"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    require_provider()
    home = open_directory()
    made = Provider(home)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(params=["madang", "madang-public"])
async def source(provider: Provider, request: pytest.FixtureRequest) -> AsyncIterator[OidcSource]:
    provider.add("minji", WORDS, name="김민지", groups=["gpu", "비전"])
    public = {"client_id": request.param, "client_secret": ""} if request.param == "madang-public" else {}
    made = provider.source(**public)
    yield made
    await made.close()


async def _sign_in(source: OidcSource, name: str = "minji", password: str = WORDS) -> Identity:
    begun = await source.begin(CALLBACK)
    return await source.finish(begun, await browse(begun.url, name, password))


async def test_the_right_password_tells_who_somebody_is(source: OidcSource) -> None:
    assert await _sign_in(source) == Identity(
        source="lab",
        subject="minji",
        name="minji",
        email="minji@lab.example",
        full_name="김민지",
        groups=frozenset({"gpu", "비전"}),
        email_verified=True,
    )


async def test_a_wrong_password_does_not_come_back(source: OidcSource) -> None:
    for name, password in (("minji", "wrong"), ("nobody", WORDS)):
        answer = await browse((await source.begin(CALLBACK)).url, name, password)
        assert answer == {"page": "wrong name or password", "status": "401"}


async def test_a_disabled_account_signs_nobody_in(provider: Provider, source: OidcSource) -> None:
    await _sign_in(source)
    provider.accounts["minji"]["disabled"] = True
    provider.save()
    with pytest.raises(Unauthorized, match="did not sign you in: this account is disabled"):
        await _sign_in(source)


async def test_an_account_disabled_before_the_code_is_used_signs_nobody_in(
    provider: Provider, source: OidcSource
) -> None:
    begun = await source.begin(CALLBACK)
    answer = await browse(begun.url, "minji", WORDS)
    provider.accounts["minji"]["disabled"] = True
    provider.save()
    with pytest.raises(Unauthorized):
        await source.finish(begun, answer)


async def test_a_change_of_groups_is_seen_at_the_next_sign_in(provider: Provider, source: OidcSource) -> None:
    assert (await _sign_in(source)).groups == {"gpu", "비전"}
    provider.add("minji", WORDS, groups=["staff"])
    assert (await _sign_in(source)).groups == {"staff"}
    provider.add("minji", WORDS, groups=None)
    assert (await _sign_in(source)).groups == frozenset()


async def test_an_address_that_nobody_has_checked_is_not_vouched_for(provider: Provider, source: OidcSource) -> None:
    provider.add("minji", WORDS, email_verified=False)
    found = await _sign_in(source)
    assert (found.email, found.email_verified) == ("minji@lab.example", False)


async def test_a_code_is_good_once(source: OidcSource) -> None:
    begun = await source.begin(CALLBACK)
    answer = await browse(begun.url, "minji", WORDS)
    await source.finish(begun, answer)
    with pytest.raises(Unauthorized, match="used before"):
        await source.finish(begun, answer)


async def test_a_code_is_of_no_use_to_another_browser(source: OidcSource) -> None:
    mine, other = await source.begin(CALLBACK), await source.begin(CALLBACK)
    answer = await browse(mine.url, "minji", WORDS)
    with pytest.raises(Unauthorized, match="not begun here"):
        await source.finish(other, answer)
    with pytest.raises(Unauthorized, match="used before"):  # it has not the verifier either
        await source.finish(other, {**answer, "state": other.state})


@pytest.mark.parametrize(
    "changes",
    [{"state": ""}, {"state": "x"}, {"code": ""}, {"code": "made-up"}, {"iss": "https://evil.example"}, {"iss": None}],
)
async def test_an_altered_answer_signs_nobody_in(source: OidcSource, changes: dict[str, str | None]) -> None:
    begun = await source.begin(CALLBACK)
    answer = {**(await browse(begun.url, "minji", WORDS)), **changes}
    with pytest.raises(Unauthorized):
        await source.finish(begun, {name: value for name, value in answer.items() if value is not None})


async def test_a_token_for_another_request_is_refused(source: OidcSource) -> None:
    begun = await source.begin(CALLBACK)
    url = begun.url.replace(begun.nonce, "another-nonce")
    with pytest.raises(Unauthorized, match="nonce"):
        await source.finish(begun, await browse(url, "minji", WORDS))


async def test_the_address_for_the_browser_holds_no_secret(source: OidcSource) -> None:
    begun = await source.begin(CALLBACK)
    query = parse_qs(urlsplit(begun.url).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["state"] == [begun.state]
    assert begun.verifier not in begun.url
    assert "secret" not in begun.url
    assert len({(await source.begin(CALLBACK)).state for _ in range(20)}) == 20


async def test_somebody_signs_in_by_typing_a_code_elsewhere(source: OidcSource) -> None:
    begun = await source.begin_device()
    assert await source.poll_device(begun) == begun
    assert begun.device_code not in begun.verification_uri_complete
    await browse(begun.verification_uri_complete, "minji", WORDS)
    found = await source.poll_device(begun)
    assert isinstance(found, Identity)
    assert found.subject == "minji"
    assert found.groups == {"gpu", "비전"}
    with pytest.raises(Unauthorized, match="used before"):
        await source.poll_device(begun)


async def test_a_wrong_password_does_not_release_the_device(source: OidcSource) -> None:
    begun = await source.begin_device()
    answer = await browse(begun.verification_uri_complete, "minji", "wrong")
    assert answer["status"] == "401"
    assert isinstance(await source.poll_device(begun), DeviceSignIn)


async def test_a_disabled_account_releases_no_device(provider: Provider, source: OidcSource) -> None:
    provider.accounts["minji"]["disabled"] = True
    provider.save()
    begun = await source.begin_device()
    await browse(begun.verification_uri_complete, "minji", WORDS)
    with pytest.raises(Unauthorized, match="refused or given up"):
        await source.poll_device(begun)


async def test_a_made_up_device_code_is_refused(source: OidcSource) -> None:
    begun = await source.begin_device()
    made_up = DeviceSignIn("made-up", "", "", "", 5, begun.expires_at)
    with pytest.raises(Unauthorized, match="Begin again"):
        await source.poll_device(made_up)


async def test_a_wrong_client_secret_is_no_fault_of_the_person(provider: Provider) -> None:
    provider.add("minji", WORDS)
    source = provider.source(client_secret="another one")
    begun = await source.begin(CALLBACK)
    with pytest.raises(Unavailable, match=r"refuses this server as a client.*administrator") as caught:
        await source.finish(begun, await browse(begun.url, "minji", WORDS))
    assert "another one" not in caught.value.message
    await source.close()


async def test_a_provider_under_another_name_is_not_believed(provider: Provider) -> None:
    source = provider.source(issuer=provider.issuer.replace("127.0.0.1", "localhost"))
    with pytest.raises(Unavailable, match=r"calls itself 'http://127\.0\.0\.1"):
        await source.begin(CALLBACK)
    await source.close()


async def test_new_keys_of_the_provider_are_fetched_and_its_absence_is_told() -> None:
    require_provider()
    home = open_directory()
    provider = Provider(home)
    source = provider.source()
    try:
        with pytest.raises(Unavailable, match=r"'lab' \(http://127.0.0.1:\d+\) does not answer"):
            await source.begin(CALLBACK)
        provider.add("minji", WORDS)
        provider.start()
        await _sign_in(source)
        provider.stop()
        with pytest.raises(Unavailable, match="does not answer"):
            await source.begin_device()
        provider.renew_key()
        provider.start()
        assert (await _sign_in(source)).name == "minji"
    finally:
        await source.close()
        provider.stop()
        shutil.rmtree(home, ignore_errors=True)
