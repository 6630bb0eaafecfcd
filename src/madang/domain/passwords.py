"""Which passwords are good enough, how they are compared, and first ones that can be read out to people."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

from madang.domain.errors import InvalidInput

MIN_LENGTH: Final = 10
MAX_LENGTH: Final = 1024

_RUNS: Final = (
    "01234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
)
_UNIT_AT_MOST: Final = 4  # letters of what is repeated over and over
# English words, Korean ones, and Korean ones as a keyboard left in English types them (hello, I love you, password,
# Republic of Korea, school, researcher).
_COMMON_WORDS: Final = (
    "abcd administrator baseball basketball changeme computer default dragon football guest hello iloveyou letmein "
    "madang master monkey mypassword passphrase password princess qwerty qwertyuiop root secret starwars sunshine "
    "superman test trustno user welcome dkssudgktpdy tkfkdgody qlalfqjsgh eogksalsrnr gkrry dusrndnjs asdf zxcv "
    "비밀번호 안녕하세요 사랑해요 대한민국 관리자 연구원"
)
_COMMON: Final = frozenset(_COMMON_WORDS.split())
_LOOKALIKES: Final = str.maketrans("@4831!05$7", "aabeiiosst")

# No two of them sound or look alike, to Korean ears and eyes too (l and r, b and v, p and f, j and z).
_CONSONANTS: Final = "bdghjkmnprstwy"
_VOWELS: Final = "aeiou"


def normal(password: str) -> str | None:
    """The one form of a password, however it was typed; None when nobody's password can look like that.

    NFKC: a Korean syllable may arrive whole or as its letters, and Latin letters may arrive in full width. Too long
    ones and those with half characters or control characters are none.
    """
    if len(password) > MAX_LENGTH:
        return None
    made = unicodedata.normalize("NFKC", password)
    if len(made) > MAX_LENGTH or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in made):
        return None
    return made


def check_new(password: str, about: Iterable[str] = ()) -> None:
    """Raises InvalidInput unless this is a good new password.

    `about`: what others know of the person: the name of the account, the full name, the e-mail address. There is no
    rule on kinds of characters: it makes people write `Password1!`.
    """
    made = normal(password)
    if made is None:
        raise InvalidInput(
            f"A password has at most {MAX_LENGTH} characters, and only ones that can be typed: no line ends or tabs."
        )
    if len(made) < MIN_LENGTH:
        raise InvalidInput(f"A password has at least {MIN_LENGTH} characters. Four words in a row are easy to keep.")
    folded = made.casefold()
    cores = set(_cores(folded))
    if cores & _known(about):
        raise InvalidInput(
            "That password is the name or address of its account. Choose one that is not about the user."
        )
    if _repeats(folded) or _runs(folded) or cores & _COMMON:
        raise InvalidInput("That password is among the first that anybody would try. Four words in a row are better.")


def new_password() -> str:
    """A first password to read out or write down, of 55 bits: three made-up words."""
    return "-".join("".join(secrets.choice(_CONSONANTS) + secrets.choice(_VOWELS) for _ in range(3)) for _ in range(3))


def _known(about: Iterable[str]) -> frozenset[str]:
    found = set()
    for one in about:
        text = unicodedata.normalize("NFKC", one).casefold().strip()
        parts = {text, text.partition("@")[0], "".join(letter for letter in text if letter.isalnum())}
        found |= {form for part in parts for form in (part, part[::-1]) if len(part) >= 3}
    return frozenset(found)


def _cores(folded: str) -> Iterator[str]:
    """The password with and without digits and signs at its ends, and either also with 0 read as o and so on."""
    letters = [index for index, letter in enumerate(folded) if letter.isalpha()]
    core = folded[letters[0] : letters[-1] + 1] if letters else folded
    for text in (folded, core):
        yield text
        yield text.translate(_LOOKALIKES)


def _repeats(folded: str) -> bool:
    return any(folded == (folded[:size] * len(folded))[: len(folded)] for size in range(1, _UNIT_AT_MOST + 1))


def _runs(folded: str) -> bool:
    return any(folded in run or folded in run[::-1] for run in _RUNS)
