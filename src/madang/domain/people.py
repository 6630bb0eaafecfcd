"""Who asks: the caller of every use case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from madang.domain.errors import Forbidden

Role = Literal["admin", "user"]


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in user, as the token of the request says."""

    user_id: str
    name: str
    role: Role

    @property
    def is_admin(self) -> bool:
        """Admins see and may change what everybody owns."""
        return self.role == "admin"


def require_admin(caller: Caller, doing: str) -> None:
    """Raises Forbidden unless the caller is an administrator; `doing` ends the sentence."""
    if not caller.is_admin:
        raise Forbidden(f"Only an administrator may {doing}. Ask one.")
