"""A signed request is taken once, by a key that is in force, and what is stored of the key signs nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from madang.domain.errors import Unauthorized, Unavailable
from madang.domain.signing import authorization, check_signature, parse
from madang.services.identity.sealed import Sealer
from madang.services.identity.signed import RequestSigning

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
TARGET = "/api/v1/sessions"


class _Clock:
    def now(self) -> datetime:
        return NOW


class _Keys:
    """What the tables will be."""

    def __init__(self) -> None:
        self.sealed: dict[str, str] = {}
        self.seen: dict[bytes, datetime] = {}

    async def sealed_secret(self, key_id: str) -> str | None:
        return self.sealed.get(key_id)

    async def first_seen(self, mark: bytes, until: datetime) -> bool:
        return self.seen.setdefault(mark, until) is until


@pytest.fixture
def keys() -> _Keys:
    return _Keys()


@pytest.fixture
def signing(keys: _Keys, tmp_path: Path) -> RequestSigning:
    return RequestSigning(keys, Sealer.open(tmp_path / "secret.key"), _Clock())


def _header(signing: RequestSigning, keys: _Keys, at: datetime = NOW) -> str:
    key = signing.new_key()
    keys.sealed[key.key_id] = key.sealed
    return authorization(key.key_id, key.secret, "GET", TARGET, body=b"", now=at)


async def test_a_signed_request_is_taken_once(signing: RequestSigning, keys: _Keys) -> None:
    header = _header(signing, keys)
    answers = await asyncio.gather(*(signing.check(header, "GET", TARGET) for _ in range(5)), return_exceptions=True)
    assert [answer for answer in answers if not isinstance(answer, Unauthorized)] == [parse(header)]
    assert list(keys.seen.values()) == [NOW + timedelta(minutes=5)]
    with pytest.raises(Unauthorized, match="sent before"):
        await signing.check(header, "GET", TARGET)


async def test_an_altered_request_is_not_remembered(signing: RequestSigning, keys: _Keys) -> None:
    header = _header(signing, keys)
    with pytest.raises(Unauthorized, match="does not fit"):
        await signing.check(header, "DELETE", TARGET)
    assert not keys.seen
    assert (await signing.check(header, "GET", TARGET)).key_id in keys.sealed


async def test_a_clock_one_hour_off_is_told(signing: RequestSigning, keys: _Keys) -> None:
    with pytest.raises(Unauthorized, match="60 minutes behind"):
        await signing.check(_header(signing, keys, NOW - timedelta(hours=1)), "GET", TARGET)


async def test_a_key_that_is_revoked_signs_nothing(signing: RequestSigning, keys: _Keys) -> None:
    header = _header(signing, keys)
    keys.sealed.clear()
    with pytest.raises(Unauthorized, match="not in force"):
        await signing.check(header, "GET", TARGET)


async def test_what_is_stored_signs_nothing(signing: RequestSigning, keys: _Keys) -> None:
    key = signing.new_key()
    keys.sealed[key.key_id] = key.sealed
    assert key.secret not in key.sealed
    header = authorization(key.key_id, key.sealed, "GET", TARGET, body=b"", now=NOW)
    with pytest.raises(Unauthorized, match="does not fit"):
        await signing.check(header, "GET", TARGET)


async def test_a_sealed_secret_put_under_another_key_does_not_open(signing: RequestSigning, keys: _Keys) -> None:
    mine, other = signing.new_key(), signing.new_key()
    keys.sealed[other.key_id] = mine.sealed
    header = authorization(other.key_id, mine.secret, "GET", TARGET, body=b"", now=NOW)
    check_signature(parse(header), mine.secret, "GET", TARGET)
    with pytest.raises(Unavailable):
        await signing.check(header, "GET", TARGET)
