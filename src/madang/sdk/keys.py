"""Signing keys and the tokens of projects, asynchronously."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote

from madang.domain.people import split_path
from madang.domain.rights import Scope
from madang.schemas.api import Page
from madang.schemas.machines import Key, KeyCreate, NewKey, NewProjectToken, ProjectToken, ProjectTokenCreate, RobotRole
from madang.sdk._transport import API, JSON, Transport

_KEYS: Final = f"{API}/keys"


class AsyncKeys:
    """Your own signing keys, for machines that must not send a bearer secret."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> list[Key]:
        """Newest first, without those that have been revoked."""
        return (await self._transport.get(Page[Key], _KEYS)).items

    async def create(
        self, label: str, *, expires_at: datetime | None = None, scopes: Sequence[Scope] | None = None
    ) -> NewKey:
        """Make one, of which the secret is only in this answer. Raises InvalidInput, Forbidden."""
        request = KeyCreate(label=label, expires_at=expires_at, scopes=None if scopes is None else [*scopes])
        body = request.model_dump_json().encode()
        response = await self._transport.call("POST", _KEYS, body=body, headers=JSON, repeatable=False)
        return self._transport.parse(NewKey, response.content)

    async def revoke(self, key_id: str) -> None:
        """Take one back. Raises NotFound."""
        await self._transport.call("DELETE", f"{_KEYS}/{quote(key_id, safe='')}")


class AsyncProjectTokens:
    """Tokens of projects, each of a robot that is in this project only. Errors of all: Forbidden, NotFound."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self, project: str) -> list[ProjectToken]:
        """Newest first, without those that have been revoked."""
        return (await self._transport.get(Page[ProjectToken], _tokens(project))).items

    async def create(
        self,
        project: str,
        label: str,
        *,
        role: RobotRole = "member",
        expires_at: datetime | None = None,
        scopes: Sequence[Scope] | None = None,
    ) -> NewProjectToken:
        """Make one, of which the secret is only in this answer. Raises InvalidInput."""
        wanted = None if scopes is None else [*scopes]
        request = ProjectTokenCreate(label=label, role=role, expires_at=expires_at, scopes=wanted)
        body = request.model_dump_json().encode()
        response = await self._transport.call("POST", _tokens(project), body=body, headers=JSON, repeatable=False)
        return self._transport.parse(NewProjectToken, response.content)

    async def revoke(self, project: str, token_id: str) -> None:
        """Take one back, and disable its robot; what runs goes on."""
        await self._transport.call("DELETE", f"{_tokens(project)}/{quote(token_id, safe='')}")


def _tokens(project: str) -> str:
    domain, name = split_path(project)
    return f"{API}/domains/{quote(domain, safe='')}/projects/{quote(name, safe='')}/tokens"
