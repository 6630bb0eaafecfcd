"""Signing keys and project tokens of the synchronous client; see the asynchronous ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from madang.domain.rights import Scope
from madang.schemas.machines import Key, NewKey, NewProjectToken, ProjectToken, RobotRole
from madang.sdk._bridge import Bridge
from madang.sdk.keys import AsyncKeys, AsyncProjectTokens


class Keys:
    """Your own signing keys."""

    def __init__(self, keys: AsyncKeys, bridge: Bridge) -> None:
        self._keys = keys
        self._bridge = bridge

    def list(self) -> list[Key]:
        """Newest first, without those that have been revoked."""
        return self._bridge.run(self._keys.list())

    def create(
        self, label: str, *, expires_at: datetime | None = None, scopes: Sequence[Scope] | None = None
    ) -> NewKey:
        """Make one, of which the secret is only in this answer."""
        return self._bridge.run(self._keys.create(label, expires_at=expires_at, scopes=scopes))

    def revoke(self, key_id: str) -> None:
        """Take one back."""
        self._bridge.run(self._keys.revoke(key_id))


class ProjectTokens:
    """Tokens of projects."""

    def __init__(self, tokens: AsyncProjectTokens, bridge: Bridge) -> None:
        self._tokens = tokens
        self._bridge = bridge

    def list(self, project: str) -> list[ProjectToken]:
        """Newest first, without those that have been revoked."""
        return self._bridge.run(self._tokens.list(project))

    def create(
        self,
        project: str,
        label: str,
        *,
        role: RobotRole = "member",
        expires_at: datetime | None = None,
        scopes: Sequence[Scope] | None = None,
    ) -> NewProjectToken:
        """Make one, of which the secret is only in this answer."""
        work = self._tokens.create(project, label, role=role, expires_at=expires_at, scopes=scopes)
        return self._bridge.run(work)

    def revoke(self, project: str, token_id: str) -> None:
        """Take one back, and disable its robot."""
        self._bridge.run(self._tokens.revoke(project, token_id))
