"""Access tokens, asynchronously."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from madang.domain.rights import Scope
from madang.schemas.api import NewToken, Page, Token, TokenCreate
from madang.sdk._transport import API, JSON, Transport

_TOKENS: Final = f"{API}/tokens"


class AsyncTokens:
    """Your own access tokens."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> list[Token]:
        """Newest first, without those that have been revoked."""
        return (await self._transport.get(Page[Token], _TOKENS)).items

    async def create(
        self, label: str, *, expires_at: datetime | None = None, scopes: Sequence[Scope] | None = None
    ) -> NewToken:
        """Make one, of which the secret is only in this answer. Raises InvalidInput, Forbidden."""
        request = TokenCreate(label=label, expires_at=expires_at, scopes=None if scopes is None else [*scopes])
        response = await self._transport.call("POST", _TOKENS, body=request.model_dump_json().encode(), headers=JSON)
        return self._transport.parse(NewToken, response.content)

    async def revoke(self, token_id: str) -> None:
        """Take one back. Raises NotFound."""
        await self._transport.call("DELETE", f"{_TOKENS}/{token_id}")
