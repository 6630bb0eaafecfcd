"""Wire models of what machines sign in with: signing keys, and the tokens of projects."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from madang.domain.rights import Scope
from madang.schemas.api import Token, TokenCreate
from madang.schemas.base import Wire

RobotRole = Literal["viewer", "member", "maintainer"]
"""What the robot of a project's token is there; no robot owns a project."""


class KeyCreate(TokenCreate):
    """A signing key that somebody wants."""


class Key(Wire):
    """A signing key without the secret; see docs/signing.md."""

    id: str
    label: str
    scopes: list[Scope] | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None  # to the minute


class NewKey(Key):
    """A signing key that was just made. The secret is shown this once."""

    secret: str


class ProjectTokenCreate(TokenCreate):
    """A token for a machine that acts for a project."""

    role: RobotRole = "member"


class ProjectToken(Token):
    """A token of a project, without the secret. It belongs to a robot, an account that is in this project only."""

    user: str  # the robot's name: its sessions are those of this user
    project: str  # its path
    role: RobotRole


class NewProjectToken(ProjectToken):
    """A token of a project that was just made. The secret is shown this once."""

    token: str
