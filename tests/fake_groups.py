"""Resource groups and reservations in memory, so that the API and the SDK can be tested alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from madang.domain.errors import Forbidden, NotFound
from madang.domain.ids import new_id
from madang.domain.people import Caller
from madang.domain.slots import Slots
from madang.schemas.api import GroupAccess, GroupPolicy, Reservation, ReservationCreate, ResourceGroup
from madang.services.groups import Everybody, GroupService
from madang.services.notices import NoticeService
from madang.services.reservations import ReservationService


class Groups(GroupService):
    def __init__(self) -> None:
        self.all = {"default": GroupPolicy()}

    async def list(self, caller: Caller) -> Sequence[ResourceGroup]:
        return [
            ResourceGroup(name=name, policy=policy, nodes=["here"], pending=0, running=0)
            for name, policy in self.all.items()
        ]

    async def get(self, caller: Caller, name: str) -> ResourceGroup:
        for group in await self.list(caller):
            if group.name == name:
                return group
        raise NotFound(f"There is no resource group '{name}'.")

    async def put(
        self, caller: Caller, name: str, policy: GroupPolicy, access: GroupAccess | Everybody | None = None
    ) -> ResourceGroup:
        if name == "forbidden":
            raise Forbidden("Only an administrator may change resource groups. Ask one.")
        self.all[name] = policy
        return await self.get(caller, name)

    async def delete(self, caller: Caller, name: str) -> None:
        await self.get(caller, name)
        del self.all[name]


class Reservations(ReservationService):
    def __init__(self) -> None:
        self.all: dict[str, Reservation] = {}

    async def list(self, caller: Caller) -> Sequence[Reservation]:
        return list(self.all.values())

    async def get(self, caller: Caller, name: str) -> Reservation:
        if name not in self.all:
            raise NotFound(f"There is no reservation '{name}'.")
        return self.all[name]

    async def create(self, caller: Caller, request: ReservationCreate) -> Reservation:
        fields = request.model_dump(exclude={"slots"})
        times = {"next_start": None, "next_end": None, "created_at": datetime.now(UTC)}
        made = Reservation(id=new_id(), slots=dict(Slots.parse(request.slots)), **fields, **times)
        self.all[made.name] = made
        return made

    async def delete(self, caller: Caller, name: str) -> None:
        del self.all[(await self.get(caller, name)).name]


class Notices(NoticeService):
    def __init__(self) -> None:
        self.told = ""

    async def header(self) -> str:
        return self.told
