"""What a session asks for, as options of `madang run` and `madang session create`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final

import typer

from madang.cli.completion import environment_names, group_names, preset_names, reservation_names, session_names
from madang.cli.i18n import t
from madang.domain.errors import InvalidInput
from madang.domain.session import Layout, SessionKind

if TYPE_CHECKING:
    from madang.schemas.agent import NetworkMode
    from madang.sdk import AsyncClient
    from madang.sdk.options import SessionOptions

DEFAULT_GROUP: Final = "default"
"""That of schemas.api, which takes a while to load."""

Env = Annotated[str, typer.Option("--env", help=t("run.env"), autocompletion=environment_names, show_default=True)]
Cpu = Annotated[str | None, typer.Option("--cpu", help=t("run.cpu"))]
Mem = Annotated[str | None, typer.Option("--mem", help=t("run.mem"))]
Slot = Annotated[list[str] | None, typer.Option("--slot", metavar="NAME=AMOUNT", help=t("run.slot"))]
Gpu = Annotated[str | None, typer.Option("--gpu", metavar="NUMBER", help=t("ask.gpu"))]
GpuModel = Annotated[str | None, typer.Option("--gpu-model", metavar="MODEL[|MODEL]", help=t("ask.gpu_model"))]
Name = Annotated[str | None, typer.Option("--name", "-n", help=t("run.name"))]
Variable = Annotated[list[str] | None, typer.Option("-e", metavar="KEY=VALUE", help=t("run.variable"))]
Network = Annotated[str | None, typer.Option("--network", metavar="none|outbound", help=t("run.network"))]
Group = Annotated[str, typer.Option("--group", help=t("ask.group"), autocompletion=group_names, show_default=True)]
Priority = Annotated[int, typer.Option("--priority", min=-100, max=100, help=t("ask.priority"), show_default=True)]
Size = Annotated[int, typer.Option("--size", min=1, max=512, help=t("ask.size"), show_default=True)]
LayoutOption = Annotated[Layout, typer.Option("--layout", help=t("ask.layout"), show_default=True)]
StartAt = Annotated[str | None, typer.Option("--start-at", metavar="TIME", help=t("ask.start_at"))]
MaxTime = Annotated[str | None, typer.Option("--max-time", metavar="LENGTH", help=t("ask.max_time"))]
Deadline = Annotated[str | None, typer.Option("--deadline", metavar="TIME", help=t("ask.deadline"))]
After = Annotated[
    list[str] | None,
    typer.Option("--after", metavar="SESSION", help=t("ask.after"), autocompletion=session_names),
]
AfterOk = Annotated[
    list[str] | None,
    typer.Option("--after-ok", metavar="SESSION", help=t("ask.after_ok"), autocompletion=session_names),
]
Reserved = Annotated[
    str | None, typer.Option("--reservation", help=t("ask.reservation"), autocompletion=reservation_names)
]
Preemptible = Annotated[
    bool | None, typer.Option("--preemptible/--not-preemptible", help=t("ask.preemptible"), show_default=False)
]
Project = Annotated[str | None, typer.Option("--project", metavar="[DOMAIN/]PROJECT", help=t("ask.project"))]
Preset = Annotated[str | None, typer.Option("--preset", help=t("ask.preset"), autocompletion=preset_names)]
DryRun = Annotated[bool, typer.Option("--dry-run", help=t("ask.dry_run"))]


@dataclass(frozen=True)
class Asked:
    """The options as the user wrote them. `checked` reads them; only then is anything sent."""

    kind: SessionKind = SessionKind.BATCH
    env: str = "python"
    cpu: str | None = None
    mem: str | None = None
    slot: list[str] = field(default_factory=list)
    gpu: str | None = None
    gpu_model: str | None = None
    name: str | None = None
    variable: list[str] = field(default_factory=list)
    network: str | None = None
    group: str = DEFAULT_GROUP
    priority: int = 0
    size: int = 1
    layout: Layout = Layout.ANY
    start_at: str | None = None
    max_time: str | None = None
    deadline: str | None = None
    after: list[str] = field(default_factory=list)
    after_ok: list[str] = field(default_factory=list)
    reservation: str | None = None
    preemptible: bool | None = None
    project: str | None = None
    preset: str | None = None

    def checked(self) -> SessionOptions:
        """All but the devices of --gpu, whose kind only the server knows. Raises InvalidInput."""
        from madang.cli.moments import parse_moment
        from madang.domain.devices import claim_of, parse_models
        from madang.domain.durations import parse_seconds
        from madang.domain.slots import Slots

        models = parse_models(self.gpu_model) if self.gpu_model is not None else ()
        slots = self._slots()
        guess = {**slots, **_gpu_slots(self.gpu, "cuda")} if self.gpu is not None else slots
        claim_of(Slots.parse(guess), models)  # what is misread is said before anything is sent
        return {
            "kind": self.kind,
            "environment": self.env,
            "slots": slots,
            "name": self.name,
            "variables": dict(parse_variable(written) for written in self.variable),
            "network": parse_network(self.network),
            "resource_group": self.group,
            "models": models,
            "priority": self.priority,
            "size": self.size,
            "layout": self.layout,
            "start_at": parse_moment(self.start_at) if self.start_at is not None else None,
            "max_seconds": parse_seconds(self.max_time) if self.max_time is not None else None,
            "deadline": parse_moment(self.deadline) if self.deadline is not None else None,
            "after": self.after,
            "after_ok": self.after_ok,
            "reservation": self.reservation,
            "preemptible": self.preemptible,
            "project": self.project,
            "preset": self.preset,
        }

    def _slots(self) -> dict[str, str | int]:
        given = {"cpu": self.cpu, "mem": self.mem}
        return {**{slot: amount for slot, amount in given.items() if amount is not None}, **parse_slots(self.slot)}

    async def complete(self, client: AsyncClient, options: SessionOptions) -> SessionOptions:
        """The options with the devices of --gpu."""
        if self.gpu is not None:
            options["slots"] = {**self._slots(), **await gpu_slots(client, self.gpu, self.group)}
        return options


async def gpu_slots(client: AsyncClient, written: str, group: str) -> dict[str, str | int]:
    """The devices of --gpu: of the kind that the nodes of the group have when it is one only, else CUDA's."""
    members = [node for node in await client.nodes.list() if node.resource_group == group]
    kinds = {device.kind for node in members for device in node.devices}
    return _gpu_slots(written, kinds.pop() if len(kinds) == 1 else "cuda")


def parse_slots(written: list[str]) -> dict[str, str | int]:
    """`NAME=AMOUNT`, each. Raises InvalidInput."""
    slots: dict[str, str | int] = {}
    for one in written:
        name, equals, amount = one.partition("=")
        if not equals:
            raise InvalidInput(t("run.bad_slot", written=one))
        slots[name] = amount
    return slots


def _gpu_slots(written: str, kind: str) -> dict[str, str | int]:
    """`2` are whole devices, `0.3` is a share of one. Raises InvalidInput."""
    if written.isascii() and written.isdigit():
        return {f"{kind}.device": written}
    try:
        number = float(written)
    except ValueError:
        raise InvalidInput(t("ask.bad_gpu", written=written)) from None
    if not 0 < number < 10_000:
        raise InvalidInput(t("ask.bad_gpu", written=written))
    return {f"{kind}.device": int(number)} if number.is_integer() else {f"{kind}.shares": written}


def parse_variable(written: str) -> tuple[str, str]:
    """`KEY=VALUE`, or `KEY` for the value it has here. Raises InvalidInput."""
    name, equals, value = written.partition("=")
    if equals:
        return name, value
    if name not in os.environ:
        raise InvalidInput(t("run.no_variable", name=name))
    return name, os.environ[name]


def parse_network(written: str | None) -> NetworkMode | None:
    """None: where the node offers it, outbound. Raises InvalidInput."""
    if written is None or written == "none":
        return "none" if written else None
    if written == "outbound":
        return "outbound"
    raise InvalidInput(t("run.bad_network", written=written))
