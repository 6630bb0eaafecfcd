"""Google TPU chips, found on the PCI bus; a chip is used through /dev/accel* or, since v5e, through VFIO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from madang.agent.devices.base import Attachment, Discovery, Shown, find
from madang.agent.devices.sysfs import PciFunction, numa_node, pci_functions, read, show
from madang.domain.devices import WHOLE
from madang.domain.errors import ImpossibleRequest
from madang.schemas.agent import DeviceInfo, DeviceShare

_VENDOR: Final = "0x1ae0"
_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class _Model:
    name: str
    mem: int  # bytes of HBM; the chip does not say


_MODELS: Final = {
    "0x005e": _Model("v4", 32 * _GIB),
    "0x0062": _Model("v5p", 95 * _GIB),
    "0x0063": _Model("v5e", 16 * _GIB),
    "0x006f": _Model("v6e", 32 * _GIB),
    "0x0076": _Model("v7x", 192 * _GIB),
}
_OLD: Final = "0x0027"
_OLD_MODELS: Final = {"0x004f": _Model("v3", 32 * _GIB)}
"""v2 and v3 have one PCI device number; the number of the board tells them apart."""

_BOUNDS: Final = {
    count: {"TPU_CHIPS_PER_HOST_BOUNDS": shape, "TPU_HOST_BOUNDS": "1,1,1"}
    for count, shape in ((1, "1,1,1"), (2, "1,2,1"))
}
"""The shape of a part of a machine's chips; libtpu takes the shape of all of them for granted."""


@dataclass(frozen=True, slots=True)
class _Chip:
    info: DeviceInfo
    nodes: tuple[str, ...]  # device nodes; the first is its own


class TpuDevices:
    """See devices.base.DevicePlugin. A chip serves one process at a time, so shares of one are refused."""

    kind = "tpu"

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._chips: dict[str, _Chip] = {}

    def discover(self) -> Discovery:
        chips, problems = self._look()
        self._chips = chips
        if not chips and not problems:
            return Discovery(reason="no TPU on the PCI bus")
        indices = [chip.info.index for chip in chips.values()]
        # The chips of a machine are part of one mesh of links of their own (ICI).
        devices = tuple(
            chip.info.model_copy(update={"links": [peer for peer in indices if peer != chip.info.index]})
            for chip in chips.values()
        )
        return Discovery(devices, "; ".join(problems), bool(problems))

    def _look(self) -> tuple[dict[str, _Chip], list[str]]:
        """The chips that can be used, by id, and what is wrong with others."""
        found = [(one, model) for one in pci_functions(self._root, _VENDOR) if (model := self._model(one)) is not None]
        chips: dict[str, _Chip] = {}
        problems = []
        for index, (function, model) in enumerate(found):
            address = function.address
            nodes = self._nodes(address)
            if not nodes:
                problems.append(f"the TPU at {address} has no /dev/accel* and no VFIO group; load its driver")
                continue
            numa = numa_node(self._root, address)
            info = DeviceInfo(
                kind=self.kind, index=index, id=address, model=model.name, mem=model.mem, numa=numa, divisible=False
            )
            chips[address] = _Chip(info, nodes)
        return chips, problems

    def _model(self, function: PciFunction) -> _Model | None:
        if function.device == _OLD:
            board = read(self._root / "sys/bus/pci/devices" / function.address / "subsystem_device")
            return _OLD_MODELS.get(board, _Model("v2", 16 * _GIB))
        return _MODELS.get(function.device)

    def _nodes(self, address: str) -> tuple[str, ...]:
        """What a program opens to use the chip; empty without a driver."""
        directory = self._root / "sys/bus/pci/devices" / address
        accel = [f"/dev/{path.name}" for path in sorted((directory / "accel").glob("accel*"))]
        if accel and self._has(accel[0]):
            return (accel[0],)
        group = directory / "iommu_group"
        if group.exists() and self._has(f"/dev/vfio/{group.resolve().name}") and self._has("/dev/vfio/vfio"):
            return (f"/dev/vfio/{group.resolve().name}", "/dev/vfio/vfio")
        return ()

    def _has(self, node: str) -> bool:
        return (self._root / node.lstrip("/")).exists()

    def attach(self, shares: Sequence[DeviceShare]) -> Attachment:
        known = {name: chip.info for name, chip in self._chips.items()}
        chips = [self._chips[find(known, share).id] for share in shares]
        if any(share.milli != WHOLE for share in shares):
            raise ImpossibleRequest("A TPU serves one session at a time: ask for whole ones with tpu.device.")
        variables = {"TPU_VISIBLE_CHIPS": ",".join(str(share.index) for share in shares)}
        given = Attachment(variables | (_BOUNDS.get(len(chips), {}) if len(chips) < len(self._chips) else {}))
        for chip in chips:
            nodes = tuple(Shown(str(self._root / node.lstrip("/")), node) for node in chip.nodes)
            given |= Attachment(nodes=nodes) | show(self._root, *self._sysfs(chip))
        return given

    @staticmethod
    def _sysfs(chip: _Chip) -> tuple[str, ...]:
        own = chip.nodes[0]
        name = own.rpartition("/")[2]
        by_driver = f"/sys/class/accel/{name}" if own.startswith("/dev/accel") else f"/sys/kernel/iommu_groups/{name}"
        return (f"/sys/bus/pci/devices/{chip.info.id}", by_driver)
