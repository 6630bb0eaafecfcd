"""Nodes, environments, resource groups and reservations in memory, so that the API and the SDK can be tested alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from madang.domain.errors import (
    Forbidden,
    NotFound,
)
from madang.domain.ids import new_id
from madang.domain.people import Caller
from madang.domain.slots import Slots
from madang.schemas.agent import (
    EnvironmentState,
    EnvironmentStatus,
    Limits,
    NodeReport,
)
from madang.schemas.api import (
    DeviceState,
    GroupAccess,
    GroupPolicy,
    Health,
    NodeState,
    NodeUpdate,
    Reservation,
    ReservationCreate,
    ResourceGroup,
)
from madang.services.environments import EnvironmentService
from madang.services.groups import Everybody, GroupService
from madang.services.health import HealthService
from madang.services.metrics import Metrics
from madang.services.nodes import NodeService
from madang.services.reservations import ReservationService
from tests.fake_sessions import now


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


class Nodes(NodeService):
    def __init__(self) -> None:
        self.devices: list[DeviceState] = []

    async def list(self, caller: Caller) -> Sequence[NodeState]:
        report = NodeReport(
            name="here",
            architecture="x86_64",
            system="Linux",
            slots={"cpu": 2000},
            runtime="process",
            runtime_reason="",
            isolated=True,
            limits=Limits.ADVISORY,
            limits_reason="a fake",
            networks=["none"],
            networks_reason="",
            version="0",
        )
        state = NodeState(
            name="here",
            state="ready",
            slots={"cpu": 2000},
            used={},
            sessions=0,
            report=report,
            last_seen_at=now(),
            devices=self.devices,
        )
        return [state]

    async def get(self, caller: Caller, name: str) -> NodeState:
        if name != "here":
            raise NotFound(f"There is no node '{name}'.")
        return (await self.list(caller))[0]

    async def update(self, caller: Caller, name: str, change: NodeUpdate) -> NodeState:
        return (await self.get(caller, name)).model_copy(update={"resource_group": change.resource_group})


class Environments(EnvironmentService):
    def __init__(self) -> None:
        pass

    async def list(self, caller: Caller) -> Sequence[EnvironmentStatus]:
        state = EnvironmentState.READY
        return [
            EnvironmentStatus(name="python", description="", state=state, digest="d", packages=["numpy"], python="3")
        ]

    async def get(self, caller: Caller, name: str) -> EnvironmentStatus:
        if name == "explode":
            raise RuntimeError("secret=hunter2")
        if name != "python":
            raise NotFound(f"There is no environment '{name}'.")
        return (await self.list(caller))[0]

    async def build(self, caller: Caller, name: str) -> EnvironmentStatus:
        return await self.get(caller, name)


class Healths(HealthService):
    def __init__(self) -> None:
        self.status: Health = Health(status="ok", components={"database": "ok"})

    async def live(self) -> Health:
        return Health(status="ok", components={})

    async def ready(self) -> Health:
        return self.status


class FakeMetrics(Metrics):
    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    async def render(self, caller: Caller) -> bytes:
        return b"madang_sessions 1\n"
