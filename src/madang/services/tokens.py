"""Credentials: who a bearer token belongs to, and the first one ever made."""

from __future__ import annotations

from madang.domain.people import Caller


class TokenService:
    """Tokens are high-entropy secrets (`mdg_` and 43 characters); only their SHA-256 is stored."""

    async def authenticate(self, token: str) -> Caller:
        """Whose token this is. Raises Unauthorized when it is malformed, unknown, expired or revoked."""
        raise NotImplementedError
