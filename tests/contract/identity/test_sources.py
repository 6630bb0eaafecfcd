"""What every source of accounts has to keep to."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from madang.services.identity.base import Identity, NotRecognised, Reason
from tests.contract.identity.conftest import Case

WORDS = "correct horse battery"
_numbers = itertools.count(1)


@pytest.fixture
async def person(case: Case) -> str:
    """Somebody new, with WORDS as password."""
    name = f"person{next(_numbers)}"
    await case.registry.add(name, WORDS)
    return name


async def _refused(case: Case, name: str, password: str) -> NotRecognised:
    with pytest.raises(NotRecognised) as caught:
        await case.source.check(name, password)
    return caught.value


async def test_the_right_password_tells_who_somebody_is(case: Case, person: str) -> None:
    found = await case.source.check(person, WORDS)
    assert (found.source, found.name, found.email) == (case.source.name, person, f"{person}@lab.example")
    assert found.subject
    assert found.full_name == person
    assert found.groups == frozenset()
    assert await case.source.look_up(person) == found


@pytest.mark.parametrize(
    "password", ["", " ", "correct horse", WORDS.upper(), WORDS + "\0", "\0", "\ud800", "x" * 5000]
)
async def test_a_wrong_password_is_wrong(case: Case, person: str, password: str) -> None:
    assert (await _refused(case, person, password)).reason == "wrong password"


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "nobody",
        "*",
        "per*",
        "*)(uid=*",
        "{person})(|(uid=*",
        "{person})(objectClass=*",
        "{person}\0",
        "{person}\\2a",
        "(&)",
        "uid={person},ou=people,dc=lab,dc=example",
        "\ud800",
        "이름",
        "x" * 5000,
    ],
)
@pytest.mark.parametrize("password", [WORDS, ""])
async def test_a_name_that_nobody_has_is_nobody(case: Case, person: str, name: str, password: str) -> None:
    name = name.replace("{person}", person)
    assert (await _refused(case, name, password)).reason == "no such user"
    assert await case.source.look_up(name) is None


async def test_a_name_that_two_have_is_nobody(case: Case, person: str) -> None:
    await case.registry.add_again(person, WORDS)
    assert (await _refused(case, person, WORDS)).reason == "more than one user"
    assert await case.source.look_up(person) is None


async def test_strangers_cannot_tell_these_apart(case: Case, person: str) -> None:
    twice = f"{person}-twice"
    await case.registry.add(twice, WORDS)
    await case.registry.add_again(twice, WORDS)
    refused = [
        await _refused(case, person, "wrong"),
        await _refused(case, "nobody", WORDS),
        await _refused(case, twice, WORDS),
    ]
    reasons: list[Reason] = ["wrong password", "no such user", "more than one user"]
    assert [one.reason for one in refused] == reasons
    assert len({(one.message, one.code, one.status) for one in refused}) == 1
    assert person not in refused[0].message


async def test_a_disabled_account_signs_nobody_in(case: Case, person: str) -> None:
    await case.registry.disable(person)
    right, wrong = await _refused(case, person, WORDS), await _refused(case, person, "wrong")
    assert right.reason == "disabled"
    assert "disabled" in right.message
    assert wrong.reason == "wrong password", "only who knows the password may know more"
    assert await case.source.look_up(person) is None


async def test_a_new_password_is_in_force_at_once(case: Case, person: str) -> None:
    await case.registry.set_password(person, "staple battery horse")
    assert (await _refused(case, person, WORDS)).reason == "wrong password"
    assert (await case.source.check(person, "staple battery horse")).name == person


async def test_a_change_of_groups_is_seen_at_the_next_sign_in(case: Case, person: str) -> None:
    await case.registry.set_groups(person, ["gpu", "비전 연구실, 3층"])
    assert (await case.source.check(person, WORDS)).groups == {"gpu", "비전 연구실, 3층"}
    await case.registry.set_groups(person, ["staff"])
    assert (await case.source.check(person, WORDS)).groups == {"staff"}
    await case.registry.set_groups(person, [])
    assert (await case.source.check(person, WORDS)).groups == frozenset()


async def test_who_is_renamed_stays_the_same_person(case: Case, person: str) -> None:
    before = await case.source.check(person, WORDS)
    await case.registry.rename(person, f"{person}-new")
    after = await case.source.check(f"{person}-new", WORDS)
    assert after.subject == before.subject
    assert (await _refused(case, person, WORDS)).reason == "no such user"


async def test_many_at_once_are_not_mixed_up(case: Case) -> None:
    names = [f"crowd{next(_numbers)}" for _ in range(8)]
    for name in names:
        await case.registry.add(name, f"the password of {name}")
    made = await asyncio.gather(
        *(case.source.check(name, f"the password of {name}") for name in names * 3),
        *(case.source.check(name, f"the password of {other}") for name, other in itertools.pairwise(names)),
        return_exceptions=True,
    )
    assert [one.name for one in made[:24] if isinstance(one, Identity)] == names * 3
    assert all(isinstance(one, NotRecognised) for one in made[24:])


async def test_somebody_is_found_by_what_never_changes(case: Case, person: str) -> None:
    known = await case.source.check(person, WORDS)
    assert await case.source.find(known.subject) == known
    await case.registry.rename(person, f"{person}-new")
    renamed = await case.source.find(known.subject)
    assert renamed is not None
    assert (renamed.name, renamed.subject) == (f"{person}-new", known.subject)
    await case.registry.disable(f"{person}-new")
    assert await case.source.find(known.subject) is None
    for nobody in ("", "*", "nobody", "00ff", "uid=nobody,ou=people,dc=lab,dc=example"):
        assert await case.source.find(nobody) is None
