"""The secret scan finds what must never be committed and leaves ordinary code alone."""

from __future__ import annotations

import pytest

from scripts.check_secrets import findings

RANDOM = "9fK2xQ" + "7LmW4vZp" + "T1bRs8Yd"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("-----BEGIN RSA " + "PRIVATE KEY-----", "a private key"),
        ("Authorization: Bearer mdg_" + RANDOM, "a Madang token"),
        ("aws = 'AKIA" + "ABCDEFGH12345678'", "an AWS access key"),
        (f'password = "{RANDOM}"', "a random value under a secret's name"),
        (f"  api_key: '{RANDOM}'", "a random value under a secret's name"),
    ],
)
def test_a_secret_is_found_with_its_line(line: str, what: str) -> None:
    assert (2, what) in list(findings(f"first line\n{line}\n"))


@pytest.mark.parametrize(
    "line",
    [
        'password = "change-me"',
        'TOKEN_PREFIX = "mdg_"',
        'token = "a-token-that-is-not-known-here"',
        "secret = read_secret(path)",
        'token_path: "/var/lib/madang/connection.json"',
    ],
)
def test_ordinary_code_is_left_alone(line: str) -> None:
    assert not list(findings(line))
