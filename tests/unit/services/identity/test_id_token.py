"""Only a token that this provider made for us, now, for this request, is believed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeySet, OctKey, OKPKey, RSAKey

from madang.domain.errors import Unauthorized
from madang.services.identity.id_token import UnknownKey, check_id_token, public_keys, texts

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
AT = int(NOW.timestamp())
ISSUER, CLIENT, NONCE = "https://id.lab.example", "madang", "n" * 43
RSA = RSAKey.generate_key(2048, parameters={"use": "sig", "kid": "rsa"})
EC = ECKey.generate_key("P-256", parameters={"use": "sig", "kid": "ec"})
ED = OKPKey.generate_key("Ed25519", parameters={"use": "sig", "kid": "ed"})
KEYS = public_keys({"keys": [key.as_dict(private=False) for key in (RSA, EC, ED)]})
GONE: Any = object()


def claims(**changes: Any) -> dict[str, Any]:
    made = {"iss": ISSUER, "sub": "u1", "aud": CLIENT, "exp": AT + 300, "iat": AT - 5, "nonce": NONCE} | changes
    return {name: value for name, value in made.items() if value is not GONE}


def token(key: Key = RSA, algorithm: str = "RS256", kid: str | None = None, **changes: Any) -> str:
    header = {"alg": algorithm, "kid": kid or key.kid}
    return jwt.encode(header, claims(**changes), key, algorithms=[algorithm])


def check(made: str, keys: KeySet = KEYS, nonce: str | None = NONCE) -> Any:
    return check_id_token(made, keys, issuer=ISSUER, client_id=CLIENT, nonce=nonce, now=NOW)


def part(value: object) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "RS256"), (RSA, "PS512"), (EC, "ES256"), (ED, "EdDSA"), (ED, "Ed25519")],
    ids=lambda one: str(one)[:12],
)
def test_a_good_token_is_believed(key: Key, algorithm: str) -> None:
    assert check(token(key, algorithm))["sub"] == "u1"


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": [CLIENT]},
        {"aud": [CLIENT, "other"], "azp": CLIENT},
        {"azp": CLIENT},
        {"exp": AT - 30},
        {"iat": AT + 30},
        {"nbf": AT + 30},
        {"nbf": AT - 30},
    ],
)
def test_clocks_may_be_a_minute_apart_and_others_may_be_named(changes: dict[str, Any]) -> None:
    check(token(**changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iss": "https://id.lab.example/"}, "iss"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"iss": GONE}, "iss"),
        ({"aud": "other"}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": GONE}, "aud"),
        ({"aud": CLIENT + "x"}, "aud"),
        ({"aud": [CLIENT, "other"]}, "azp"),
        ({"azp": "other"}, "azp"),
        ({"aud": [CLIENT, "other"], "azp": "other"}, "azp"),
        ({"exp": AT - 61}, "expired"),
        ({"exp": GONE}, "exp"),
        ({"exp": str(AT + 300)}, "exp"),
        ({"exp": float("nan")}, "exp"),
        ({"iat": AT + 3600}, "future"),
        ({"iat": GONE}, "iat"),
        ({"nbf": AT + 3600}, "not yet valid"),
        ({"nonce": "m" * 43}, "nonce"),
        ({"nonce": GONE}, "nonce"),
        ({"nonce": [NONCE]}, "nonce"),
        ({"sub": ""}, "sub"),
        ({"sub": GONE}, "sub"),
        ({"sub": 7}, "sub"),
        ({"sub": "x" * 256}, "sub"),
    ],
)
def test_each_claim_is_checked(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Unauthorized, match=words):
        check(token(**changes))


def test_a_flow_without_a_nonce_asks_for_none() -> None:
    assert check(token(nonce=GONE), nonce=None)["sub"] == "u1"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_a_token_that_says_it_needs_no_signature_is_refused(algorithm: str, signature: str) -> None:
    for header in ({"alg": algorithm}, {"alg": algorithm, "kid": "rsa"}):
        with pytest.raises(Unauthorized):
            check(f"{part(header)}.{part(claims())}.{signature}")


@pytest.mark.parametrize("form", ["pem", "der", "n", "jwk"])
def test_the_public_key_is_no_shared_secret(form: str) -> None:
    """Signed with HS256 by whoever has what everybody has: the provider's public key."""
    public = RSA.as_dict(private=False)
    secret = {
        "pem": RSA.as_pem(private=False),
        "der": RSA.as_der(private=False),
        "n": str(public["n"]).encode(),
        "jwk": json.dumps(public).encode(),
    }[form]
    text = f"{part({'alg': 'HS256', 'kid': 'rsa'})}.{part(claims())}"
    signature = part(hmac.digest(secret, text.encode(), hashlib.sha256))
    with pytest.raises(Unauthorized, match="signature"):
        check(f"{text}.{signature}")


def test_a_secret_that_a_provider_publishes_is_no_key() -> None:
    shared = OctKey.import_key(b"s" * 32, {"kid": "oct", "use": "sig"})
    keys = public_keys({"keys": [shared.as_dict(private=True), RSA.as_dict(private=False)]})
    assert [key.kid for key in keys] == ["rsa"]
    with pytest.raises(Unauthorized):
        check(token(shared, "HS256"), keys)


def test_a_key_of_another_kind_than_the_algorithm_is_refused() -> None:
    with pytest.raises(Unauthorized):
        check(token(EC, "ES256", kid="rsa"))


def test_a_key_that_comes_along_in_the_token_is_not_used() -> None:
    own = RSAKey.generate_key(2048)
    for more in ({"jwk": own.as_dict(private=False)}, {"jku": "https://evil.example/keys"}, {"x5u": "https://evil"}):
        header = {"alg": "RS256", "kid": "rsa", **more}
        with pytest.raises(Unauthorized):
            check(jwt.encode(header, claims(), own, algorithms=["RS256"]))


def test_a_signature_of_another_key_or_over_other_claims_is_refused() -> None:
    with pytest.raises(Unauthorized, match="signature"):
        check(token(RSAKey.generate_key(2048), kid="rsa"))
    head, _, signature = token().split(".")
    with pytest.raises(Unauthorized, match="signature"):
        check(f"{head}.{part(claims(sub='admin'))}.{signature}")


def test_an_unknown_key_is_told_apart_so_that_new_ones_are_fetched() -> None:
    with pytest.raises(UnknownKey):
        check(token(RSAKey.generate_key(2048), kid="new"))


@pytest.mark.parametrize(
    "made",
    ["", "a.b.c", "..", "....", "é.é.é", token() + ".x", token()[:-9], f"{part([])}.{part([])}.", "x" * 100_000],
)
def test_what_is_no_token_is_refused(made: str) -> None:
    with pytest.raises(Unauthorized):
        check(made)


def test_claims_that_are_no_object_are_refused() -> None:
    text = f"{part({'alg': 'EdDSA', 'kid': 'ed'})}.{part(['sub'])}"
    signature = part(ED.private_key.sign(text.encode()))  # type: ignore[union-attr]
    with pytest.raises(Unauthorized):
        check(f"{text}.{signature}")


@pytest.mark.parametrize(
    "document", [None, [], {}, {"keys": {}}, {"keys": [None, 1, {}, {"kty": "RSA"}, {"kty": "FUTURE", "kid": "x"}]}]
)
def test_odd_documents_have_no_keys(document: object) -> None:
    assert not list(public_keys(document))
    with pytest.raises(UnknownKey):
        check(token(), public_keys(document))


def test_keys_for_encryption_and_unknown_kinds_do_no_harm() -> None:
    other = RSAKey.generate_key(2048, parameters={"use": "enc", "kid": "enc"}).as_dict(private=False)
    keys = public_keys({"keys": [other, {"kty": "FUTURE", "kid": "x"}, RSA.as_dict(private=False)]})
    assert [key.kid for key in keys] == ["rsa"]
    check(token(), keys)


@pytest.mark.parametrize(
    ("value", "found"),
    [("a", ["a"]), (["a", "b"], ["a", "b"]), (["a", 1, None, "", {}], ["a"]), (None, []), ({"a": 1}, []), ("", [])],
)
def test_texts_of_a_claim(value: object, found: list[str]) -> None:
    assert list(texts(value)) == found
