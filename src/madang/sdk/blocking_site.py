"""The synchronous forms of sdk.site; see there for what everything raises."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from madang.domain.notices import NoticeLevel
from madang.schemas.api import DEFAULT_GROUP
from madang.schemas.site import Announcement, MaintenanceState, Preset
from madang.sdk._bridge import Bridge
from madang.sdk.site import AsyncAnnouncements, AsyncMaintenance, AsyncPresets, Message


class Presets:
    """Named slot bundles of resource groups."""

    def __init__(self, presets: AsyncPresets, bridge: Bridge) -> None:
        self._presets = presets
        self._bridge = bridge

    def list(self, group: str = DEFAULT_GROUP) -> list[Preset]:
        """By name."""
        return self._bridge.run(self._presets.list(group))

    def set(self, name: str, slots: Mapping[str, str | int], *, group: str = DEFAULT_GROUP, title: str = "") -> Preset:
        """Make a preset, or change it."""
        return self._bridge.run(self._presets.set(name, slots, group=group, title=title))

    def delete(self, name: str, *, group: str = DEFAULT_GROUP) -> None:
        """Sessions that were started with it go on."""
        self._bridge.run(self._presets.delete(name, group=group))


class Announcements:
    """What everybody shall know."""

    def __init__(self, announcements: AsyncAnnouncements, bridge: Bridge) -> None:
        self._announcements = announcements
        self._bridge = bridge

    def list(self, *, everything: bool = False) -> list[Announcement]:
        """Those of now, newest first; with `everything` those to come and those that are over."""
        return self._bridge.run(self._announcements.list(everything=everything))

    def create(
        self,
        message: Message,
        *,
        level: NoticeLevel = "info",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Announcement:
        """Tell everybody something."""
        return self._bridge.run(self._announcements.create(message, level=level, since=since, until=until))

    def change(
        self,
        announcement_id: str,
        message: Message,
        *,
        level: NoticeLevel = "info",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Announcement:
        """Say something else instead."""
        work = self._announcements.change(announcement_id, message, level=level, since=since, until=until)
        return self._bridge.run(work)

    def delete(self, announcement_id: str) -> None:
        """Say it no more."""
        self._bridge.run(self._announcements.delete(announcement_id))


class Maintenance:
    """A time in which no sessions are accepted or started, and what runs goes on."""

    def __init__(self, maintenance: AsyncMaintenance, bridge: Bridge) -> None:
        self._maintenance = maintenance
        self._bridge = bridge

    def get(self) -> MaintenanceState:
        """Whether it is on."""
        return self._bridge.run(self._maintenance.get())

    def on(self, message: Message = "", *, until: datetime | None = None) -> MaintenanceState:
        """Switch it on, or change it."""
        return self._bridge.run(self._maintenance.on(message, until=until))

    def off(self) -> MaintenanceState:
        """Switch it off."""
        return self._bridge.run(self._maintenance.off())
