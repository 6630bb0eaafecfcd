"""Whether a request makes sense, before anything is saved: every refusal says what to do instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from madang.db.rows import NodeRow
from madang.domain.devices import Claim, claim_of, counted
from madang.domain.errors import Forbidden, ImpossibleRequest, InvalidInput, InvalidSlots, Unavailable
from madang.domain.names import check_variables
from madang.domain.people import Caller
from madang.domain.presets import filled
from madang.domain.session import Layout, SessionKind
from madang.domain.slots import Slots
from madang.schemas.agent import NetworkMode
from madang.schemas.api import CalendarWindow, SessionCreate
from madang.services.catalog import Known
from madang.services.possible import Wanted, is_possible, require_possible

IDLE_COMMAND: Final = ("sleep", "infinity")
"""What an interactive session runs that was given no command: people come in by exec."""

DEFAULT_SLOTS: Final = {"cpu": 1000, "mem": 1 << 30}
_LEAST_MEM: Final = 16 << 20
_LAUNCH_BYTES: Final = 1 << 20  # of command and variables; the kernel takes about 2 MiB
_RESERVED: Final = "MADANG_"
_JUST_NOW: Final = timedelta(seconds=60)  # people write times to the minute, and clocks differ
_FURTHEST: Final = timedelta(days=3660)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request with everything resolved."""

    command: list[str]
    slots: Slots  # of one container
    claim: Claim | None  # devices of one container
    network: NetworkMode
    preemptible: bool


def admit(request: SessionCreate, known: Known, caller: Caller, now: datetime) -> Admitted:
    """Raises InvalidInput, InvalidSlots, ImpossibleRequest, Forbidden, or Unavailable when no node has joined yet."""
    command = _command(request)
    _require_group(request, known)
    slots = _slots(request, known)
    claim = claim_of(slots, request.models)
    if request.layout is not Layout.ANY and request.size == 1:
        raise InvalidInput(f"The layout '{request.layout}' is for several containers; say how many with --size.")
    if request.priority > 0 and not caller.is_admin:
        raise Forbidden("A priority above 0 is given by an administrator. Leave it out, or ask one.")
    _check_times(request, now)
    if not known.nodes:
        raise Unavailable("No node has joined yet. Try again in a moment.")
    _check_calendar(request, claim, known.groups[request.resource_group].policy.calendar)
    network = _place(request, Wanted(counted(slots), claim, request.size, request.layout), known)
    preemptible = request.kind is SessionKind.BATCH if request.preemptible is None else request.preemptible
    return Admitted(command, slots, claim, network, preemptible)


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


def _require_group(request: SessionCreate, known: Known) -> None:
    """Raises InvalidInput for a group that there is not, or that is not open to the session, naming those that are."""
    if request.resource_group in known.groups:
        return
    names = ", ".join(sorted(known.groups)) or "none; ask an administrator"
    whose = f" for project '{request.project}'" if request.project else ""
    raise InvalidInput(f"There is no resource group '{request.resource_group}'{whose}. Known are: {names}.")


def _slots(request: SessionCreate, known: Known) -> Slots:
    """What is asked for, with the preset and what everybody gets who says nothing."""
    given = dict(request.slots)
    if request.preset is not None:
        presets = known.presets.get(request.resource_group, {})
        if request.preset not in presets:
            raise InvalidInput(
                f"Group '{request.resource_group}' has no preset '{request.preset}'. Known are: "
                f"{', '.join(sorted(presets)) or 'none; say what it needs with --cpu, --mem, --gpu'}."
            )
        given = filled(presets[request.preset].slots, given)
    slots = Slots.parse(given)
    for name in DEFAULT_SLOTS:
        if name in given and not slots.amount(name):
            raise InvalidSlots(f"{name}: a session needs more than nothing of it.")
    slots = Slots({**DEFAULT_SLOTS, **slots})
    if slots["mem"] < _LEAST_MEM:
        raise InvalidSlots("mem: a session needs at least 16m.")
    return slots


def _check_times(request: SessionCreate, now: datetime) -> None:
    start, deadline = request.start_at, request.deadline
    for moment in (start, deadline):
        if moment is not None and moment - now > _FURTHEST:
            raise InvalidInput(f"{moment.isoformat()} is more than ten years ahead. Is the year right?")
    if start is not None and start < now - _JUST_NOW:
        raise InvalidInput(
            f"The start time {_say(start)} is in the past; it is {_say(now)} now. Leave it out to start at once."
        )
    if deadline is None:
        return
    if deadline <= now:
        raise InvalidInput(f"The deadline {_say(deadline)} is in the past; it is {_say(now)} now.")
    earliest = max(start or now, now)
    if deadline <= earliest:
        raise InvalidInput(f"The deadline {_say(deadline)} comes before the start time {_say(earliest)}.")
    if request.max_seconds is not None and earliest + timedelta(seconds=request.max_seconds) > deadline:
        latest = deadline - timedelta(seconds=request.max_seconds)
        raise InvalidInput(
            f"The deadline {_say(deadline)} cannot be met: with its maximum run time the session would have to start "
            f"by {_say(latest)}. Allow more time, or a shorter run."
        )


def _say(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds")


def _check_calendar(request: SessionCreate, claim: Claim | None, calendar: Sequence[CalendarWindow]) -> None:
    """Raises ImpossibleRequest when the calendar of the group never lets such a session start."""
    if not calendar or any(_allows(window, request.kind, claim) for window in calendar):
        return
    what = f"sessions of kind '{request.kind}'"
    if claim is not None:
        what += " with whole devices" if claim.whole else " with a part of a device"
    rules = "; ".join(dict.fromkeys(_rule(window) for window in calendar))
    raise ImpossibleRequest(
        f"The calendar of group '{request.resource_group}' never allows {what} ({rules}). Ask for something else, or "
        "in another group."
    )


def _allows(window: CalendarWindow, kind: SessionKind, claim: Claim | None) -> bool:
    if window.kinds and kind not in window.kinds:
        return False
    return claim is None or window.gpus == "any" or claim.whole == (window.gpus == "whole")


def _rule(window: CalendarWindow) -> str:
    kinds = "/".join(window.kinds) or "all kinds"
    return f"{window.name}: {kinds}, {window.gpus} devices"


def _place(request: SessionCreate, wanted: Wanted, known: Known) -> NetworkMode:
    """The network of the session, after looking at which nodes could ever hold it."""
    name, nodes = request.resource_group, known.nodes
    members = [node for node in nodes if node.resource_group == name]
    if not members:
        raise ImpossibleRequest(f"Resource group '{name}' has no nodes. Choose another group, or ask an administrator.")
    suited = [node for node in members if request.environment in node.environments]
    if not suited:
        names = ", ".join(sorted({environment for node in members for environment in node.environments})) or "none"
        raise InvalidInput(f"There is no environment '{request.environment}'. Known are: {names}.")
    network = _network(request, suited)
    try:
        require_possible(wanted, [node for node in suited if network in node.report.networks], name)
    except ImpossibleRequest as error:
        for other in sorted(known.groups.keys() - {name}):
            able = [node for node in nodes if node.resource_group == other and _suits(node, request, network)]
            if is_possible(wanted, able):
                raise ImpossibleRequest(f"{error.message} Group '{other}' could hold it: --group {other}.") from None
        raise
    return network


def _suits(node: NodeRow, request: SessionCreate, network: NetworkMode) -> bool:
    return request.environment in node.environments and network in node.report.networks


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
