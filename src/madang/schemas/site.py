"""Wire models of what counts for the whole site: presets, announcements, maintenance."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from madang.domain.notices import NoticeLevel
from madang.schemas.api import Amount, Id
from madang.schemas.base import Wire
from madang.schemas.people import Title

Said = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00-\x09\x0b-\x1f\x7f]*$")]
Message = Annotated[dict[Literal["en", "ko"], Said], Field(min_length=1)]
"""A text by language; a client shows the one of its language, else the one there is."""


class Preset(Wire):
    """A named slot bundle of a resource group, of one container."""

    name: str
    resource_group: str
    title: str
    slots: dict[str, int]  # base units
    created_at: datetime


class PresetPut(Wire):
    """A preset as it shall be."""

    title: Title = ""
    slots: dict[str, Amount] = Field(min_length=1, max_length=16)


class Announcement(Wire):
    """Something that everybody shall know."""

    id: Id
    message: dict[Literal["en", "ko"], str]
    level: NoticeLevel
    since: datetime
    until: datetime | None
    created_at: datetime
    created_by: str


class AnnouncementCreate(Wire):
    """Something that everybody shall know, from `since` (null: now) to before `until` (null: until it is deleted)."""

    message: Message
    level: NoticeLevel = "info"
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


class MaintenanceState(Wire):
    """Whether sessions are accepted and started now."""

    on: bool
    id: str | None = None  # another one whenever it is changed
    message: dict[Literal["en", "ko"], str] = {}
    since: datetime | None = None
    until: datetime | None = None  # then it ends by itself; null: when an administrator ends it
    by: str | None = None


class MaintenancePut(Wire):
    """Switch maintenance on, or off again."""

    on: bool
    message: dict[Literal["en", "ko"], Said] = {}
    until: AwareDatetime | None = None
