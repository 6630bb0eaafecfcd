"""New passwords are long enough and not guessed at once; the same one typed elsewhere is the same one."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madang.domain.errors import InvalidInput
from madang.domain.passwords import check_new, new_password, normal

ABOUT = ["minji", "Kim Minji", "minji.kim@lab.example"]


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "마당에서 함께 계산해요",
        "한강다리아래고양이네마리",
        "83057194622",
        "minji's red bicycle bell",
        "password manager is my friend",
        "x" * 9 + "y",
        "  spaces around it  ",
    ],
)
def test_a_good_password_is_taken(password: str) -> None:
    check_new(password, ABOUT)


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("", "at least 10"),
        ("a2c4e6g8i", "at least 10"),
        ("x1" * 600, "at most 1024"),
        ("\ufdfa" * 200, "at most 1024"),  # one character that stands for eighteen
        ("nine chars\n", "no line ends"),
        ("nul\0in the middle", "no line ends"),
        ("half a \ud800 character", "only ones that can be typed"),
    ],
)
def test_the_length_and_form_of_a_password(password: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        check_new(password, ABOUT)


@pytest.mark.parametrize(
    "password",
    [
        "minji12345",
        "Minji.Kim2026",
        "minji.kim@lab.example",
        "MINJI.KIM@LAB.EXAMPLE!",
        "Kim Minji 1999",
        "kimminji!!",
        "!!ijnim1234",
        "M1nj1.K1m2026",
        "ＭＩＮＪＩ１２３４５",
    ],
)
def test_a_password_about_its_owner_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput, match="name or address"):
        check_new(password, ABOUT)


@pytest.mark.parametrize(
    "password",
    [
        "password123",
        "P@ssw0rd2026!",
        "1234567890",
        "0987654321",
        "aaaaaaaaaaaa",
        "abcabcabcabc",
        "1212121212",
        "qwertyuiop",
        "1qaz2wsx3edc",
        "Administrator1",
        "dkssudgktpdy",
        "비밀번호123456",
        "비밀번호123456",
        "trustno1!!!",
    ],
)
def test_what_anybody_would_try_first_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput, match="first that anybody would try"):
        check_new(password, ABOUT)


@pytest.mark.parametrize("password", ["마당에서 함께 계산해요", "Ａｂｃ１２３ ｆｕｌｌ", "crème brûlée à la carte"])
def test_a_password_is_the_same_from_every_keyboard(password: str) -> None:
    forms = {unicodedata.normalize(form, password) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    assert len(forms) > 1
    assert len({normal(form) for form in forms}) == 1


@given(st.text(max_size=60))
def test_a_normal_form_stays_as_it_is(password: str) -> None:
    once = normal(password)
    assert once is None or normal(once) == once


def test_a_very_long_input_is_not_worked_on() -> None:
    assert normal("\ufdfa" * 5_000_000) is None


def test_first_passwords_can_be_read_out_and_are_good() -> None:
    made = {new_password() for _ in range(200)}
    assert len(made) == 200
    for password in made:
        check_new(password, ABOUT)
        assert len(password) == 20
        assert set(password) <= set("abdeghijkmnoprstuwy-")
