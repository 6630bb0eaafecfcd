"""The port to a kind of device, and what a container is given of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from madang.domain.errors import Unavailable
from madang.schemas.agent import DeviceInfo, DeviceShare


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a plug-in found.

    Attributes:
        devices: what sessions can use, in order of their index.
        reason: why there is nothing, or why not all can be used, with what to do; empty when all is well.
        broken: whether the machine has devices that cannot be used, so that somebody should know the reason.
    """

    devices: tuple[DeviceInfo, ...] = ()
    reason: str = ""
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A path of the host and where a sandbox sees it."""

    host: str
    inside: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """What a container needs in order to use its devices, and no others.

    Attributes:
        variables: environment variables.
        nodes: device nodes, readable and writable.
        read_only: files and directories, such as parts of /sys.
        links: symbolic links to make; `host` is what they say, `inside` where they are.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    nodes: tuple[Shown, ...] = ()
    read_only: tuple[Shown, ...] = ()
    links: tuple[Shown, ...] = ()

    def __or__(self, other: Attachment) -> Attachment:
        """Both together, each path once."""
        return Attachment(
            {**self.variables, **other.variables},
            tuple(dict.fromkeys(self.nodes + other.nodes)),
            tuple(dict.fromkeys(self.read_only + other.read_only)),
            tuple(dict.fromkeys(self.links + other.links)),
        )


@runtime_checkable
class DevicePlugin(Protocol):
    """One kind of device. Every implementation passes the conformance suite in tests/contract/devices.

    `discover` may block; the agent calls it at times, in a thread, never twice at once. `attach` is called meanwhile
    too, and answers from what the last whole `discover` found.
    """

    kind: str  # the part of slot names before the dot: lower-case letters and digits

    def discover(self) -> Discovery:
        """What is there now. No hardware or no driver is an ordinary answer, not an error."""

    def attach(self, shares: Sequence[DeviceShare]) -> Attachment:
        """How a container sees exactly these devices of this kind; with none of them: how it sees none.

        Raises Unavailable for a device that the last `discover` did not find, and ImpossibleRequest for a part of one
        that is not `divisible`.
        """


def find(devices: Mapping[str, DeviceInfo], share: DeviceShare) -> DeviceInfo:
    """The device of a share, by its id. Raises Unavailable when there is none, or when it has moved."""
    device = devices.get(share.id)
    if device is None or device.index != share.index:
        raise Unavailable(
            f"The node has no device {share.kind}:{share.index} with id {share.id}; it has {_names(devices.values())}."
        )
    return device


def _names(devices: Iterable[DeviceInfo]) -> str:
    return ", ".join(f"{device.kind}:{device.index} ({device.id})" for device in devices) or "no device of this kind"
