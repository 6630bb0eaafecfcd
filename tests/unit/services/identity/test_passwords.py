"""A stored password is a hash that only the password itself matches, and asking about nobody takes as long."""

from __future__ import annotations

import asyncio
import time
import unicodedata
from collections.abc import Iterator

import pytest
from argon2 import extract_parameters

from madang.domain.errors import InvalidInput, Unavailable
from madang.services.identity.passwords import Checked, Passwords

WORDS = "마당에서 함께 계산해요"


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords()
    yield made
    made.close()


@pytest.fixture
def quick() -> Iterator[Passwords]:
    made = Passwords(time_cost=1, memory_kib=64)
    yield made
    made.close()


async def test_the_right_password_is_known_again_and_no_other(passwords: Passwords) -> None:
    stored = await passwords.hash(WORDS)
    assert stored.startswith("$argon2id$v=19$m=47104,t=2,p=1$")
    assert WORDS not in stored
    assert await passwords.check(WORDS, stored) == Checked(True)
    for wrong in ("", WORDS + " ", WORDS.replace("마", "바"), stored):
        assert await passwords.check(wrong, stored) == Checked(False)


async def test_a_password_typed_on_another_machine_is_right(quick: Passwords) -> None:
    stored = await quick.hash(unicodedata.normalize("NFC", WORDS))
    assert (await quick.check(unicodedata.normalize("NFD", WORDS), stored)).right


async def test_two_people_with_one_password_are_not_seen_to_have_it(quick: Passwords) -> None:
    assert await quick.hash(WORDS) != await quick.hash(WORDS)


async def test_nobody_has_no_password(quick: Passwords) -> None:
    for password in ("", WORDS, "x" * 5000, "\ud800"):
        assert await quick.check(password, None) == Checked(False)


@pytest.mark.parametrize("stored", ["", "x", "$argon2id$v=19$m=64,t=1,p=1$AAAA", "plain " + WORDS])
async def test_a_damaged_hash_lets_nobody_in(quick: Passwords, stored: str) -> None:
    assert await quick.check(WORDS, stored) == Checked(False)


@pytest.mark.parametrize("password", ["x" * 1025, "a\ud800", "line\nend"])
async def test_what_cannot_be_a_password_is_not_stored(quick: Passwords, password: str) -> None:
    with pytest.raises(InvalidInput):
        await quick.hash(password)
    assert not (await quick.check(password, await quick.hash(WORDS))).right


async def test_a_hash_of_old_strength_is_renewed_at_the_next_right_password(
    quick: Passwords, passwords: Passwords
) -> None:
    old = await quick.hash(WORDS)
    assert await passwords.check("another one entirely", old) == Checked(False)
    checked = await passwords.check(WORDS, old)
    assert checked.right
    assert checked.renewed is not None
    assert extract_parameters(checked.renewed).memory_cost > extract_parameters(old).memory_cost
    assert await passwords.check(WORDS, checked.renewed) == Checked(True)


async def test_the_time_tells_nothing_about_whether_somebody_exists(passwords: Passwords) -> None:
    stored = await passwords.hash(WORDS)

    async def quickest(against: str | None) -> float:
        times = []
        for _ in range(5):
            before = time.process_time()
            await passwords.check("a wrong password", against)
            times.append(time.process_time() - before)
        return min(times)

    nobody, somebody = await quickest(None), await quickest(stored)
    assert 0.3 < nobody / somebody < 3


async def test_a_crowd_waits_and_beyond_it_people_are_told_to_come_again(quick: Passwords) -> None:
    answers = await asyncio.gather(*(quick.check(WORDS, None) for _ in range(300)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert len(refused) == 300 - 256
    assert await quick.check(WORDS, None) == Checked(False)
