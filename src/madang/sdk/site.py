"""Presets, announcements and maintenance, asynchronously."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from madang.domain.notices import NoticeLevel
from madang.schemas.api import DEFAULT_GROUP, Page
from madang.schemas.site import (
    Announcement,
    AnnouncementCreate,
    MaintenancePut,
    MaintenanceState,
    Preset,
    PresetPut,
)
from madang.sdk._transport import API, JSON, Transport

Message = str | Mapping[Literal["en", "ko"], str]
"""A text, in English; or by language."""

_ANNOUNCEMENTS: Final = f"{API}/announcements"
_MAINTENANCE: Final = f"{API}/maintenance"


class AsyncPresets:
    """Named slot bundles of resource groups."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self, group: str = DEFAULT_GROUP) -> list[Preset]:
        """By name. Raises NotFound for a group that is not open to you."""
        return (await self._transport.get(Page[Preset], _presets(group))).items

    async def set(
        self, name: str, slots: Mapping[str, str | int], *, group: str = DEFAULT_GROUP, title: str = ""
    ) -> Preset:
        """Make a preset, or change it. For administrators.

        Raises Forbidden, NotFound, InvalidSlots, and ImpossibleRequest for what no node of the group could ever hold.
        """
        body = PresetPut(title=title, slots=dict(slots)).model_dump_json().encode()
        response = await self._transport.call("PUT", f"{_presets(group)}/{name}", body=body, headers=JSON)
        return self._transport.parse(Preset, response.content)

    async def delete(self, name: str, *, group: str = DEFAULT_GROUP) -> None:
        """Sessions that were started with it go on. For administrators. Raises Forbidden, NotFound."""
        await self._transport.call("DELETE", f"{_presets(group)}/{name}")


class AsyncAnnouncements:
    """What everybody shall know."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self, *, everything: bool = False) -> list[Announcement]:
        """Those of now, newest first; for administrators with `everything` those to come and those that are over."""
        params = {"all": True} if everything else None
        return (await self._transport.get(Page[Announcement], _ANNOUNCEMENTS, params)).items

    async def create(
        self,
        message: Message,
        *,
        level: NoticeLevel = "info",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Announcement:
        """Tell everybody something, from `since` (None: now) to before `until`. For administrators. Raises Forbidden,
        InvalidInput."""
        body = _announced(message, level, since, until)
        response = await self._transport.call("POST", _ANNOUNCEMENTS, body=body, headers=JSON, repeatable=False)
        return self._transport.parse(Announcement, response.content)

    async def change(
        self,
        announcement_id: str,
        message: Message,
        *,
        level: NoticeLevel = "info",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Announcement:
        """Say something else instead; `since` None: as it was. Raises Forbidden, NotFound, InvalidInput."""
        body = _announced(message, level, since, until)
        response = await self._transport.call("PUT", f"{_ANNOUNCEMENTS}/{announcement_id}", body=body, headers=JSON)
        return self._transport.parse(Announcement, response.content)

    async def delete(self, announcement_id: str) -> None:
        """Say it no more. Raises Forbidden, NotFound."""
        await self._transport.call("DELETE", f"{_ANNOUNCEMENTS}/{announcement_id}")


class AsyncMaintenance:
    """A time in which no sessions are accepted or started, and what runs goes on."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def get(self) -> MaintenanceState:
        """Whether it is on."""
        return await self._transport.get(MaintenanceState, _MAINTENANCE)

    async def on(self, message: Message = "", *, until: datetime | None = None) -> MaintenanceState:
        """Switch it on, or change it, until an administrator ends it or a time. Raises Forbidden, InvalidInput."""
        ends = until.astimezone() if until is not None else None
        return await self._put(MaintenancePut(on=True, message=_by_language(message), until=ends))

    async def off(self) -> MaintenanceState:
        """Switch it off. Raises Forbidden."""
        return await self._put(MaintenancePut(on=False))

    async def _put(self, wanted: MaintenancePut) -> MaintenanceState:
        body = wanted.model_dump_json().encode()
        response = await self._transport.call("PUT", _MAINTENANCE, body=body, headers=JSON)
        return self._transport.parse(MaintenanceState, response.content)


def _presets(group: str) -> str:
    return f"{API}/resource-groups/{group}/presets"


def _by_language(message: Message) -> dict[Literal["en", "ko"], str]:
    if isinstance(message, str):
        return {"en": message} if message else {}
    return dict(message)


def _announced(message: Message, level: NoticeLevel, since: datetime | None, until: datetime | None) -> bytes:
    wanted = AnnouncementCreate(
        message=_by_language(message),
        level=level,
        since=since.astimezone() if since is not None else None,
        until=until.astimezone() if until is not None else None,
    )
    return wanted.model_dump_json().encode()
