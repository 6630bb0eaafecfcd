"""A signed request is good as it was signed and for five minutes; any change of it is noticed."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madang.domain.errors import InvalidInput, Unauthorized
from madang.domain.signing import (
    authorization,
    check_body,
    check_date,
    check_signature,
    is_signed,
    new_key_id,
    new_secret,
    parse,
)

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
KEY, SECRET = new_key_id(), new_secret()
TARGET = "/api/v1/sessions?name=%EB%A7%88%EB%8B%B9&limit=5"
GUIDE = Path(__file__).parents[3] / "docs/signing.md"


def header(method: str = "POST", target: str = TARGET, body: bytes = b'{"a": 1}') -> str:
    return authorization(KEY, SECRET, method, target, body=body, now=NOW)


def test_a_request_as_it_was_signed_is_good() -> None:
    signature = parse(header())
    check_date(signature, NOW)
    check_signature(signature, SECRET, "POST", TARGET)
    check_body(signature, hashlib.sha256(b'{"a": 1}').hexdigest())
    assert signature.key_id == KEY


def test_the_signature_is_what_the_documentation_says() -> None:
    signature = parse(header())
    body = hashlib.sha256(b'{"a": 1}').hexdigest()
    lines = f"POST\n{TARGET}\n2026-11-23T12:00:00Z\n{signature.nonce}\n{body}"
    assert signature.signature == hmac.digest(SECRET.encode(), lines.encode(), "sha256").hex()


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", TARGET),
        ("POST", TARGET + "0"),
        ("POST", TARGET.replace("&", "&x=1&")),
        ("POST", "/api/v1/sessions"),
        ("POST", TARGET.replace("%EB", "%eb")),
        ("POST\n/", TARGET),
        ("post", TARGET),
        ("POST", "/a b"),
        ("POST", "/마당"),
        ("POST", ""),
    ],
)
def test_another_request_does_not_fit_the_signature(method: str, target: str) -> None:
    with pytest.raises(Unauthorized):
        check_signature(parse(header()), SECRET, method, target)


@pytest.mark.parametrize("name", ["key", "date", "nonce", "body", "signature"])
def test_each_part_of_the_header_is_signed_or_is_the_signature(name: str) -> None:
    changed = re.sub(rf"({name}=.*?)(\d)", lambda m: f"{m[1]}{(int(m[2]) + 1) % 10}", header(), count=1)
    if name == "key":  # whose secret it is tells the key
        assert parse(changed).key_id != KEY
        return
    with pytest.raises(Unauthorized):
        check_signature(parse(changed), SECRET, "POST", TARGET)


def test_another_body_is_noticed() -> None:
    with pytest.raises(Unauthorized, match="not the one that was signed"):
        check_body(parse(header()), hashlib.sha256(b'{"a": 2}').hexdigest())


def test_another_secret_does_not_fit_and_the_lines_are_shown_but_no_secret() -> None:
    with pytest.raises(Unauthorized) as caught:
        check_signature(parse(header()), new_secret(), "POST", TARGET)
    assert TARGET in caught.value.message
    assert SECRET not in caught.value.message
    assert parse(header()).signature not in caught.value.message


@pytest.mark.parametrize("seconds", [-300, -1, 0, 299, 300])
def test_clocks_may_be_five_minutes_apart(seconds: int) -> None:
    check_date(parse(header()), NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (1, "12:00:00Z, and it is 2026-11-23T13:00:00Z here: 60 minutes behind"),
        (-1, "11:00:00Z here: 60 minutes ahead"),
    ],
)
def test_a_clock_one_hour_off_is_told_with_both_times(hours: int, words: str) -> None:
    with pytest.raises(Unauthorized, match=words):
        check_date(parse(header()), NOW + timedelta(hours=hours))


def test_a_signature_is_remembered_until_it_is_too_old() -> None:
    signature = parse(header())
    check_date(signature, signature.good_until)
    with pytest.raises(Unauthorized):
        check_date(signature, signature.good_until + timedelta(seconds=1))


def test_the_same_request_signed_twice_is_two_requests() -> None:
    first, second = parse(header()), parse(header())
    assert first.mark != second.mark
    assert len(first.mark) == 32
    assert parse(header()).mark != parse(header()).mark


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("nonce=", "once="),
        lambda text: text + ", key=" + KEY,
        lambda text: re.sub(r", body=\w+", "", text),
        lambda text: re.sub(r"signature=\w+", "signature=", text),
        lambda text: text.replace("2026-11-23", "2026-02-30"),
        lambda text: text.replace("2026-11-23", "２０２６-11-23"),
        lambda text: text.replace("12:00:00Z", "12:00:00+09:00"),
        lambda text: re.sub(r"nonce=[\w-]+", "nonce=short", text),
        lambda text: text.upper(),
        lambda text: text.replace("Madang-HMAC-SHA256", "Bearer"),
        lambda text: text + " " * 2000,
        lambda text: "",
    ],
)
def test_a_malformed_header_is_refused_with_an_example(change: Callable[[str], str]) -> None:
    with pytest.raises(Unauthorized, match=r"looks like this|no such date"):
        parse(change(header()))


@given(st.text(max_size=200))
def test_no_header_breaks_the_reader(text: str) -> None:
    for one in (text, f"Madang-HMAC-SHA256 {text}"):
        with pytest.raises(Unauthorized):
            parse(one)


def test_a_bearer_token_is_no_signature() -> None:
    assert is_signed(header())
    assert not is_signed("Bearer something")


def test_what_cannot_be_sent_cannot_be_signed() -> None:
    with pytest.raises(InvalidInput, match="written as %XX"):
        header(target="/마당")


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl on this machine")
@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", b'{"name": "\xeb\xa7\x88"}\n')])
def test_the_shell_example_of_the_documentation_works(tmp_path: Path, method: str, body: bytes | None) -> None:
    """`curl` is replaced by something that writes down what it was asked to send."""
    example = re.search(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert example
    fake = tmp_path / "curl"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    (tmp_path / "body").write_bytes(body or b"")
    arguments = [method, TARGET, *([str(tmp_path / "body")] if body else [])]
    sent = subprocess.run(
        ["bash", "-euc", f'{example[1]}\nsigned "$@"', "bash", *arguments],
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "MADANG_URL": "https://host",
            "MADANG_KEY": KEY,
            "MADANG_SECRET": SECRET,
        },
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert f"https://host{TARGET}" in sent
    signature = parse(next(line for line in sent if "HMAC" in line).removeprefix("Authorization: "))
    check_date(signature, datetime.now(UTC))
    check_signature(signature, SECRET, method, TARGET)
    check_body(signature, hashlib.sha256(body or b"").hexdigest())
