"""Who asks: the caller of every use case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
