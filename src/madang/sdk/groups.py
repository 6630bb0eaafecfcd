"""Resource groups and reservations, asynchronously."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from madang.schemas.api import (
    DEFAULT_GROUP,
    Day,
    GroupAccess,
    GroupPolicy,
    GroupPut,
    Page,
    Reservation,
    ReservationCreate,
    ResourceGroup,
)
from madang.sdk._transport import API, JSON, Transport

_GROUPS: Final = f"{API}/resource-groups"
_RESERVATIONS: Final = f"{API}/reservations"


class AsyncGroups:
    """Sets of nodes with one queue and its own policy."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> list[ResourceGroup]:
        """Those that are open to you."""
        return (await self._transport.get(Page[ResourceGroup], _GROUPS)).items

    async def get(self, name: str) -> ResourceGroup:
        """Raises NotFound."""
        return await self._transport.get(ResourceGroup, f"{_GROUPS}/{name}")

    async def set(
        self, name: str, policy: GroupPolicy, access: GroupAccess | Literal["everybody"] | None = None
    ) -> ResourceGroup:
        """Make a resource group, or give it another policy, and say to whom it is open (None: as it was).

        For administrators. To change a part: `groups.set(name, group.policy.model_copy(update={"queue": "fifo"}))`.
        Raises Forbidden, NotFound for somebody whom there is not, and InvalidInput for a calendar with a gap or an
        overlap.
        """
        body = GroupPut(**policy.model_dump(), access=access).model_dump_json().encode()
        response = await self._transport.call("PUT", f"{_GROUPS}/{name}", body=body, headers=JSON)
        return self._transport.parse(ResourceGroup, response.content)

    async def delete(self, name: str) -> None:
        """Delete a resource group without nodes and live sessions. Raises Conflict, Forbidden, NotFound."""
        await self._transport.call("DELETE", f"{_GROUPS}/{name}")


class AsyncReservations:
    """Room that is kept for some users at some times."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> list[Reservation]:
        """Those you may use; an administrator sees all."""
        return (await self._transport.get(Page[Reservation], _RESERVATIONS)).items

    async def get(self, name: str) -> Reservation:
        """Raises NotFound, also for one that is not for you."""
        return await self._transport.get(Reservation, f"{_RESERVATIONS}/{name}")

    async def create(
        self,
        name: str,
        *,
        slots: Mapping[str, str | int],
        users: Sequence[str],
        resource_group: str = DEFAULT_GROUP,
        models: Sequence[str] = (),
        days: Sequence[Day] = (),
        start: str | None = None,
        end: str | None = None,
        timezone: str = "UTC",
        starts_at: datetime | None = None,
        ends_at: datetime | None = None,
    ) -> Reservation:
        """Keep room for users: every week (`days`, `start`, `end`), or once (`starts_at`, `ends_at`).

        For administrators. `slots` is all that is kept, of devices whole ones: `{"cuda.device": 8}`. Raises Forbidden,
        NameInUse, NotFound for an unknown group or user, and Conflict when the group has not so much beside what others
        have reserved.
        """
        wanted = ReservationCreate(
            name=name,
            resource_group=resource_group,
            slots=dict(slots),
            models=list(models),
            users=list(users),
            days=list(days),
            start=start,
            end=end,
            timezone=timezone,
            starts_at=starts_at.astimezone() if starts_at is not None else None,
            ends_at=ends_at.astimezone() if ends_at is not None else None,
        )
        response = await self._transport.call(
            "POST", _RESERVATIONS, body=wanted.model_dump_json().encode(), headers=JSON, repeatable=False
        )
        return self._transport.parse(Reservation, response.content)

    async def delete(self, name: str) -> None:
        """Keep no room any longer. Sessions that name it go on. Raises Forbidden, NotFound."""
        await self._transport.call("DELETE", f"{_RESERVATIONS}/{name}")
