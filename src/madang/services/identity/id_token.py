"""Whether an ID token of an OpenID Connect provider may be believed (OpenID Connect Core 1.0, 3.1.3.7)."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, cast

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet
from joserfc.jws import JWSRegistry

from madang.domain.errors import Unauthorized

ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)
"""Those that need the provider's private key. HS256 and `none` are not among them, whatever a token says of itself."""

LEEWAY_SECONDS: Final = 60
_SUBJECT_AT_MOST: Final = 255
_PUBLIC: Final = frozenset({"kty", "use", "alg", "kid", "n", "e", "crv", "x", "y"})

Claims = Mapping[str, object]


class UnknownKey(Unauthorized):
    """A token is signed with a key that is not among those known: the provider may have a new one."""


def public_keys(document: object) -> KeySet:
    """The keys of a provider that may sign tokens; those of other kinds and other uses are left out.

    A symmetric key in a public document would be a secret that everybody knows, so such keys are left out too.
    """
    found: list[Key] = []
    listed = document.get("keys") if isinstance(document, dict) else None
    for one in listed if isinstance(listed, list) else ():
        if not isinstance(one, dict) or one.get("kty") not in ("RSA", "EC", "OKP") or one.get("use", "sig") != "sig":
            continue
        try:
            found.append(JWKRegistry.import_key({name: value for name, value in one.items() if name in _PUBLIC}))
        except (JoseError, ValueError, TypeError, KeyError):
            continue  # of a kind that came after this program
    return KeySet(found)


def check_id_token(
    token: str, keys: KeySet, *, issuer: str, client_id: str, nonce: str | None, now: datetime
) -> Claims:
    """The claims of a token that was made by this issuer for this client, is in force, and answers this request.

    `nonce` is None where the flow has none. Raises UnknownKey; Unauthorized saying what is wrong with it.
    """
    try:
        found = jwt.decode(token, keys, registry=JWSRegistry(algorithms=list(ALGORITHMS)))
    except InvalidKeyIdError as error:
        raise UnknownKey("The token is signed with a key that the provider does not publish.") from error
    except (JoseError, ValueError, TypeError) as error:
        raise _untrusted(f"its signature is not good ({error})") from error
    claims = cast("Claims", found.claims)
    registry = jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": issuer},
        sub={"essential": True},
        aud={"essential": True, "value": client_id},
        exp={"essential": True},
        iat={"essential": True},
    )
    try:
        registry.validate(found.claims)
    except JoseError as error:
        raise _untrusted(f"{error}; it is {now.isoformat(timespec='seconds')} here") from error
    _check_party(claims, client_id)
    if nonce is not None and not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise _untrusted("it answers another request (nonce)")
    subject = claims["sub"]
    if not isinstance(subject, str) or not subject or len(subject) > _SUBJECT_AT_MOST:
        raise _untrusted("it does not say whose it is (sub)")
    return claims


def texts(value: object) -> Iterable[str]:
    """The texts of a claim that is a list of them, or one."""
    if isinstance(value, str):
        return [value] if value else []
    return [one for one in value if isinstance(one, str) and one] if isinstance(value, list) else []


def _check_party(claims: Claims, client_id: str) -> None:
    """A token for several is good only for the one to whom it was given."""
    audience, party = claims["aud"], claims.get("azp")
    if isinstance(audience, list) and len(audience) > 1 and party is None:
        raise _untrusted("it is for several and does not say who asked for it (azp)")
    if party is not None and party != client_id:
        raise _untrusted("somebody else asked for it (azp)")


def _untrusted(why: str) -> Unauthorized:
    return Unauthorized(
        f"The provider's token cannot be trusted: {why}. Sign in again; tell an administrator if it stays."
    )
