"""A one-time code is good for about a minute and once; recovery codes work however they are typed."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest

from madang.services.identity.totp import enrol, matching_step, new_recovery_codes, recovery_digest

NOW = datetime(2026, 11, 23, 12, 0, 10, tzinfo=UTC)
STEP = int(NOW.timestamp()) // 30
SECRET = base64.b32encode(b"12345678901234567890").decode()


def code_at(when: datetime, secret: str = SECRET) -> str:
    return pyotp.TOTP(secret).at(when)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_examples_of_the_standard(seconds: int, code: str) -> None:
    assert matching_step(SECRET, code, datetime.fromtimestamp(seconds, UTC), None) == seconds // 30


@pytest.mark.parametrize(("late", "good"), [(-61, False), (-30, True), (0, True), (30, True), (61, False)])
def test_a_clock_may_be_one_step_off(late: int, good: bool) -> None:
    made = matching_step(SECRET, code_at(NOW + timedelta(seconds=late)), NOW, None)
    assert made == (STEP + late // 30 if good else None)


def test_a_code_is_good_once() -> None:
    code = code_at(NOW)
    used = matching_step(SECRET, code, NOW, None)
    assert used == STEP
    assert matching_step(SECRET, code, NOW, used) is None
    assert matching_step(SECRET, code, NOW + timedelta(seconds=30), used) is None


def test_an_older_code_is_of_no_use_after_a_newer_one() -> None:
    older = code_at(NOW - timedelta(seconds=30))
    assert matching_step(SECRET, older, NOW, STEP - 2) == STEP - 1
    assert matching_step(SECRET, older, NOW, STEP) is None
    assert matching_step(SECRET, code_at(NOW + timedelta(seconds=30)), NOW, STEP) == STEP + 1


@pytest.mark.parametrize("typed", ["{} ", "{0[0]}{0[1]}{0[2]} {0[3]}{0[4]}{0[5]}"])
def test_spaces_in_a_code_do_no_harm(typed: str) -> None:
    assert matching_step(SECRET, typed.format(code_at(NOW)), NOW, None) == STEP


def test_a_code_in_full_width_digits_is_right() -> None:
    wide = "".join(chr(ord(digit) + 0xFEE0) for digit in code_at(NOW))
    assert matching_step(SECRET, wide, NOW, None) == STEP


@pytest.mark.parametrize("code", ["", "000000", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "-12345", "1" * 10_000])
def test_what_is_no_code_is_wrong(code: str) -> None:
    assert matching_step(SECRET, code, NOW, None) is None


def test_what_an_app_is_given_makes_the_same_codes() -> None:
    made = enrol("min:ji", "gpu.lab.example:8080")
    app = pyotp.parse_uri(made.uri)
    assert isinstance(app, pyotp.TOTP)
    assert matching_step(made.secret, app.at(NOW), NOW, None) == STEP
    parts = urlsplit(made.uri)
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    assert unquote(parts.path) == "/Madang gpu.lab.example 8080:min ji"
    assert parse_qs(parts.query)["issuer"] == ["Madang gpu.lab.example 8080"]
    assert len(base64.b32decode(made.secret)) >= 20
    assert enrol("a", "b").secret != enrol("a", "b").secret


def test_a_recovery_code_is_known_however_it_is_typed() -> None:
    codes = new_recovery_codes()
    assert len({recovery_digest(code) for code in codes}) == len(codes) == 10
    for code in codes:
        assert len(code) == 19
        digest = recovery_digest(code)
        assert digest is not None
        misread = code.upper().replace("0", "O").replace("1", "l").replace("-", " ")
        assert recovery_digest(misread) == digest
        assert recovery_digest(f" {code.replace('-', '')} ") == digest


@pytest.mark.parametrize("code", ["", "abcd", "aaaa-aaaa-aaaa-aaa", "uuuu-uuuu-uuuu-uuuu", "가" * 16, "a" * 10_000])
def test_what_is_no_recovery_code_has_no_digest(code: str) -> None:
    assert recovery_digest(code) is None
