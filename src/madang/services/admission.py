"""Whether a request makes sense, before anything is saved: every refusal says what to do instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from madang.db.rows import NodeRow
from madang.domain.errors import ImpossibleRequest, InvalidInput, InvalidSlots, Unavailable
from madang.domain.names import check_variables
from madang.domain.session import SessionKind
from madang.domain.slots import Slots
from madang.schemas.agent import NetworkMode
from madang.schemas.api import SessionCreate

IDLE_COMMAND: Final = ("sleep", "infinity")
"""What an interactive session runs that was given no command: people come in by exec."""

DEFAULT_SLOTS: Final = {"cpu": 1000, "mem": 1 << 30}
_LEAST_MEM: Final = 16 << 20
_LAUNCH_BYTES: Final = 1 << 20  # of command and variables; the kernel takes about 2 MiB
_RESERVED: Final = "MADANG_"


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request with everything resolved."""

    command: list[str]
    slots: Slots
    network: NetworkMode


def admit(request: SessionCreate, nodes: Sequence[NodeRow]) -> Admitted:
    """Raises InvalidInput, InvalidSlots, ImpossibleRequest, or Unavailable when no node has joined yet."""
    command = _command(request)
    slots = _slots(request)
    if not nodes:
        raise Unavailable("No node has joined yet. Try again in a moment.")
    suited = [node for node in nodes if request.environment in node.environments]
    if not suited:
        known = sorted({name for node in nodes for name in node.environments})
        raise InvalidInput(f"There is no environment '{request.environment}'. Known are: {', '.join(known) or 'none'}.")
    network = _network(request, suited)
    suited = [node for node in suited if network in node.report.networks]
    _require_possible(slots, suited)
    return Admitted(command, slots, network)


def _command(request: SessionCreate) -> list[str]:
    if request.kind is SessionKind.SYSTEM:
        raise InvalidInput("Sessions of kind 'system' belong to the platform; use interactive or batch.")
    command = list(request.command)
    if not command:
        if request.kind is not SessionKind.INTERACTIVE:
            raise InvalidInput(f"A session of kind '{request.kind}' needs a command to run.")
        command = list(IDLE_COMMAND)
    if not command[0]:
        raise InvalidInput("The first word of the command is empty; it has to name a program.")
    check_variables(request.variables)
    for name in request.variables:
        if name.startswith(_RESERVED):
            raise InvalidInput(f"The variable {name} is set by Madang; choose a name that does not begin with MADANG_.")
    words = [*command, *request.variables, *request.variables.values()]
    if sum(len(word.encode()) + 1 for word in words) > _LAUNCH_BYTES:
        raise InvalidInput("Command and variables together are larger than 1 MiB; put the data into a file.")
    return command


def _slots(request: SessionCreate) -> Slots:
    slots = Slots.parse(dict(request.slots))
    for name in DEFAULT_SLOTS:
        if name in request.slots and not slots.amount(name):
            raise InvalidSlots(f"{name}: a session needs more than nothing of it.")
    slots = Slots({**DEFAULT_SLOTS, **slots})
    if slots["mem"] < _LEAST_MEM:
        raise InvalidSlots("mem: a session needs at least 16m.")
    return slots


def _network(request: SessionCreate, suited: Sequence[NodeRow]) -> NetworkMode:
    offered = {mode for node in suited for mode in node.report.networks}
    if request.network is None:
        return "outbound" if "outbound" in offered else "none"
    if request.network not in offered:
        reasons = sorted({node.report.networks_reason for node in suited if node.report.networks_reason})
        raise InvalidInput(
            f"No node offers the network '{request.network}': {' '.join(reasons) or 'none says why'} "
            "Ask for network 'none', or leave it out."
        )
    return request.network


def _require_possible(slots: Slots, suited: Sequence[NodeRow]) -> None:
    kinds = {name for node in suited for name, amount in node.slots.items() if amount}
    unknown = sorted(set(slots) - kinds)
    if unknown:
        raise ImpossibleRequest(
            f"No suitable node has any {' or '.join(unknown)}; there is {', '.join(sorted(kinds)) or 'nothing'}."
        )
    if any(Slots(node.slots).covers(slots) for node in suited):
        return

    # The nearest node is the one of which the request asks the smallest excess.
    def excess(node: NodeRow) -> float:
        return max(amount / max(node.slots.get(name, 0), 1) for name, amount in slots.items())

    nearest = min(suited, key=lambda node: (excess(node), node.name))
    offered = Slots({name: nearest.slots.get(name, 0) for name in slots})
    raise ImpossibleRequest(
        f"No node can ever hold {slots.human()}; the nearest, {nearest.name}, has {offered.human()} in all. "
        "Ask for less."
    )
