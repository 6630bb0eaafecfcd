"""What is said to everybody: announcements and maintenance, in one or two languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from madang.domain.errors import UnderMaintenance
from madang.domain.why import Language

NoticeLevel = Literal["info", "warning"]

NOTICE_HEADER: Final = "X-Madang-Notice"
"""The header of answers that names what is said now, by ids: of announcements, and that of the maintenance behind
MAINTENANCE_MARK. So clients ask for a text only when there is one that they have not shown."""

MAINTENANCE_MARK: Final = "maintenance-"


@dataclass(frozen=True, slots=True)
class Maintenance:
    """While it is on no session starts and none is accepted. It has another id whenever it is changed."""

    id: str
    message: Mapping[Language, str]
    since: datetime
    until: datetime | None
    by: str

    def on(self, now: datetime) -> bool:
        """Whether it has not ended by itself."""
        return self.until is None or now < self.until

    def require_over(self, now: datetime) -> None:
        """Raises UnderMaintenance while it is on."""
        if not self.on(now):
            return
        until = f" until {self.until:%Y-%m-%d %H:%M} UTC" if self.until is not None else ""
        said = in_language(self.message, "en").rstrip(".")
        raise UnderMaintenance(
            f"The site is under maintenance{until}{f': {said}' if said else ''}. No sessions are accepted meanwhile; "
            "what waits keeps its place, and what runs goes on. Try again afterwards."
        )


def in_language(message: Mapping[Language, str], language: Language) -> str:
    """A text in a language, else in the one that there is."""
    return message.get(language) or next(iter(message.values()), "")


def marks(announcements: list[str], maintenance: str | None) -> str:
    """The value of the header; empty when nothing is said."""
    return " ".join([*announcements, *([f"{MAINTENANCE_MARK}{maintenance}"] if maintenance else [])])
