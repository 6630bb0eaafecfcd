"""All devices of a node: looked at again at times, checked before a container gets some, and attached to it."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from madang.agent.devices.base import Attachment, DevicePlugin, Discovery, find
from madang.agent.keeper.plan import Identity
from madang.domain.devices import WHOLE, device_slot, shares_slot
from madang.domain.errors import MadangError, Unavailable
from madang.domain.slots import format_amount
from madang.schemas.agent import DeviceInfo, DeviceShare

_PATIENCE_SECONDS: Final = 20.0
"""A driver in trouble may never answer."""
_AGAIN_SECONDS: Final = 30.0


def survey(plugin: DevicePlugin, user: Identity | None) -> Discovery:
    """What of this kind the sandboxes' user can use. Never raises, whatever the plug-in does.

    `user`: the unprivileged user of sandboxes; None: the caller's own.
    """
    try:
        found = plugin.discover()
        plugin.attach([])
        return _accessible(plugin, _consistent(plugin, found), user)
    except Exception as error:  # somebody else's code must not take the node down
        return Discovery(reason=f"{plugin.kind} devices: {type(error).__name__}: {error}", broken=True)


def _consistent(plugin: DevicePlugin, found: Discovery) -> Discovery:
    """Raises ValueError when the answer makes no sense: then no device of it is used."""
    indices = Counter(device.index for device in found.devices)
    names = Counter(device.id for device in found.devices)
    if any(device.kind != plugin.kind for device in found.devices):
        raise ValueError(f"the plug-in names devices of a kind other than {plugin.kind}")
    if any(count > 1 for count in (*indices.values(), *names.values())):
        raise ValueError("the plug-in names two devices by one index or id")
    return found


def _accessible(plugin: DevicePlugin, found: Discovery, user: Identity | None) -> Discovery:
    """Without the devices whose nodes the sandboxes' user may not open."""
    usable, problems = [], [found.reason] if found.broken else []
    for device in found.devices:
        share = DeviceShare(kind=device.kind, index=device.index, id=device.id, milli=WHOLE)
        closed = [node.host for node in plugin.attach([share]).nodes if not _may_open(node.host, user)]
        if closed:
            problems.append(_closed(closed[0], user))
        else:
            usable.append(device)
    if len(usable) == len(found.devices):
        return found
    return Discovery(tuple(usable), "; ".join(dict.fromkeys(problems)), broken=True)


def _may_open(node: str, user: Identity | None) -> bool:
    if user is None:
        return os.access(node, os.R_OK | os.W_OK)
    status = os.stat(node)
    shift = 6 if status.st_uid == user["uid"] else 3 if status.st_gid == user["gid"] else 0
    return status.st_mode >> shift & 6 == 6


def _closed(node: str, user: Identity | None) -> str:
    status = os.stat(node)
    try:
        owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        owner, group = str(status.st_uid), str(status.st_gid)
    said = f"{node} is for {owner}:{group} only (mode {status.st_mode & 0o777:o})"
    if user is None:
        return f"{said}; let yourself in with `usermod -aG {group} $USER` and sign in again"
    return f'{said}, and sandboxes run as another user; `chmod a+rw {node}`, for good by a udev rule with MODE="0666"'


def summary(devices: Iterable[DeviceInfo]) -> str:
    """`4x A100 (mock), 2x T4 (mock)`: how many of which model, in order of their index."""
    counts = Counter((device.model, device.mock) for device in devices)
    return ", ".join(f"{count}x {model}{' (mock)' if mock else ''}" for (model, mock), count in counts.items())


@dataclass
class _Watched:
    """A plug-in and what it said last; a thread of its own, so that one that hangs holds up nobody."""

    plugin: DevicePlugin
    seen: Discovery = field(default_factory=Discovery)
    looked_at: float = float("-inf")
    looking: asyncio.Future[Discovery] | None = None

    async def refresh(self, user: Identity | None) -> None:
        """Look again when it is time; an answer that does not come counts as no devices until it comes."""
        if self.looking is None and time.monotonic() - self.looked_at < _AGAIN_SECONDS:
            return
        patience = _PATIENCE_SECONDS if self.looking is None else 0.0
        if self.looking is None:
            self.looking = _in_thread(lambda: survey(self.plugin, user))
        await asyncio.wait({self.looking}, timeout=patience)
        if not self.looking.done():
            reason = f"{self.plugin.kind} devices: their driver has not answered for {_PATIENCE_SECONDS:g} s"
            self.seen = Discovery(reason=f"{reason}; restart the machine if this stays so", broken=True)
            return
        self.seen, self.looked_at, self.looking = self.looking.result(), time.monotonic(), None


def _in_thread(work: Callable[[], Discovery]) -> asyncio.Future[Discovery]:
    """Run in a thread that nobody waits for when the program ends, unlike those of asyncio.to_thread."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Discovery] = loop.create_future()

    def settle(result: Discovery) -> None:
        if not future.done():
            future.set_result(result)

    def run() -> None:
        result = work()
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=run, name="devices", daemon=True).start()
    return future


class Inventory:
    """The devices of one node. `user`: the unprivileged user of sandboxes; None: the agent's own."""

    def __init__(self, plugins: Sequence[DevicePlugin], problems: Sequence[str], user: Identity | None) -> None:
        self._watched = [_Watched(plugin) for plugin in plugins]
        self._problems = list(problems)
        self._user = user

    async def refresh(self) -> None:
        """Look at everything that has not been looked at for some time."""
        await asyncio.gather(*(watched.refresh(self._user) for watched in self._watched))

    @property
    def devices(self) -> list[DeviceInfo]:
        """By kind, then by index."""
        return [device for watched in self._watched for device in watched.seen.devices]

    @property
    def reason(self) -> str:
        """Why devices of this machine cannot be used; empty when all is well."""
        return "; ".join([*self._problems, *(one.seen.reason for one in self._watched if one.seen.broken)])

    def slots(self) -> dict[str, int]:
        """How many devices of each kind there are, and how many thousandths."""
        counts = Counter(device.kind for device in self.devices)
        slots: dict[str, int] = {}
        for kind, count in counts.items():
            slots |= {device_slot(kind): count, shares_slot(kind): count * WHOLE}
        return slots

    def check(self, shares: Sequence[DeviceShare], held: Iterable[DeviceShare]) -> None:
        """Whether a container may have `shares` while others hold `held`.

        Raises Unavailable for a device that is not here, or of which too little is left: the manager knows of a change
        later than the node, and plans anew.
        """
        taken: Counter[tuple[str, str]] = Counter()
        for share in held:
            taken[share.kind, share.id] += share.milli
        for share in shares:
            find({device.id: device for device in self.devices if device.kind == share.kind}, share)
            before = taken[share.kind, share.id]
            if before + share.milli > WHOLE:
                raise Unavailable(
                    f"Device {share.kind}:{share.index} has {_part(WHOLE - before)} of it left, "
                    f"and {_part(share.milli)} is asked for."
                )
            taken[share.kind, share.id] += share.milli

    def attach(self, shares: Sequence[DeviceShare]) -> Attachment:
        """What a container with exactly these shares is given. Raises Unavailable for a device that is not here."""
        given = Attachment()
        for watched in self._watched:
            own = [share for share in shares if share.kind == watched.plugin.kind]
            # Where there is nothing to hide, sessions keep a clean environment.
            if own or watched.seen.devices or watched.seen.broken:
                given |= _attach(watched.plugin, own)
        if left := {share.kind for share in shares} - {watched.plugin.kind for watched in self._watched}:
            raise Unavailable(f"The node has no devices of the kind {', '.join(sorted(left))}.")
        return Attachment(_variables(shares)) | given


def _attach(plugin: DevicePlugin, shares: Sequence[DeviceShare]) -> Attachment:
    """As the plug-in says. One that breaks harms only those who want its devices: without nodes nobody sees any."""
    try:
        return plugin.attach(shares)
    except MadangError:
        raise
    except Exception as error:  # somebody else's code
        if not shares:
            return Attachment()
        raise Unavailable(f"{plugin.kind} devices: {type(error).__name__}: {error}") from error


def _part(milli: int) -> str:
    return format_amount(shares_slot("cuda"), max(milli, 0))


def _variables(shares: Sequence[DeviceShare]) -> dict[str, str]:
    """`cuda:0=1000,cuda:1=1000`, and the fraction where it is one."""
    if not shares:
        return {}
    held = {"MADANG_DEVICES": ",".join(f"{share.kind}:{share.index}={share.milli}" for share in shares)}
    fraction = [_part(share.milli) for share in shares if share.milli < WHOLE]
    return held | ({"MADANG_GPU_SHARE": fraction[0]} if fraction else {})
