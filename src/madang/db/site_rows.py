"""What the repositories hand out of presets and announcements: typed rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from madang.domain.notices import NoticeLevel
from madang.domain.why import Language


@dataclass(frozen=True, slots=True)
class PresetRow:
    """A named slot bundle of a resource group, for one container."""

    resource_group: str
    name: str
    title: str
    slots: Mapping[str, int]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AnnouncementRow:
    """Something that everybody shall know from `since` to before `until`."""

    id: str
    message: Mapping[Language, str]
    level: NoticeLevel
    since: datetime
    until: datetime | None
    created_at: datetime
    created_by: str
