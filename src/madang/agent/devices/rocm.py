"""AMD GPUs, found by the kernel's compute driver (KFD) in /sys; no library is needed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from madang.agent.devices.base import Attachment, Discovery, Shown, find
from madang.agent.devices.sysfs import numa_node, number, read, show
from madang.schemas.agent import DeviceInfo, DeviceShare

_TOPOLOGY: Final = "sys/class/kfd/kfd/topology/nodes"
_XGMI: Final = 11
"""Type of an io_link between GPUs that is not PCI Express (HSA_IOLINK_TYPE_XGMI)."""
_VIDEO_MEMORY: Final = (1, 2)
"""Heap types of memory on the GPU: visible to the processor, and not."""
_DRM_MAJOR: Final = 226
_NAMED: Final = "GPU-"
_NAMES: Final = "usr/share/libdrm/amdgpu.ids"
_KNOWN: Final = {
    "66a1": "MI50",
    "738c": "MI100",
    "7408": "MI250X",
    "740c": "MI250",
    "740f": "MI210",
    "74a0": "MI300A",
    "74a1": "MI300X",
    "74a2": "MI308X",
    "74a5": "MI325X",
    "75a0": "MI350X",
    "75a3": "MI355X",
}
"""PCI device numbers of GPUs for servers, where libdrm's list of names is often not installed."""


def gfx_target(version: int) -> str:
    """KFD's 90010 as compilers call it: `gfx90a`. Major and minor are decimal, the stepping is a hexadecimal digit."""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"


@dataclass(frozen=True, slots=True)
class _Node:
    """A GPU in KFD's topology; `number` counts processors too."""

    number: int
    directory: Path
    properties: Mapping[str, int]

    @property
    def address(self) -> str:
        """Of its PCI function."""
        place = self.properties.get("location_id", 0)
        bus, slot, function = place >> 8 & 0xFF, place >> 3 & 0x1F, place & 7
        return f"{self.properties.get('domain', 0):04x}:{bus:02x}:{slot:02x}.{function}"

    @property
    def minor(self) -> int:
        """Of its render node; 0 when it has none."""
        return self.properties.get("drm_render_minor", 0)

    @property
    def uuid(self) -> str:
        """As the runtime names it; empty for GPUs without one, such as those in a processor."""
        unique = self.properties.get("unique_id", 0)
        return f"{_NAMED}{unique:016x}" if unique else ""


def _properties(path: Path) -> dict[str, int]:
    """A file of lines `name number`."""
    pairs = (line.split() for line in read(path).splitlines())
    return {pair[0]: number(pair[1]) for pair in pairs if len(pair) == 2}


class RocmDevices:
    """See devices.base.DevicePlugin."""

    kind = "rocm"

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._nodes: dict[str, _Node] = {}
        self._infos: dict[str, DeviceInfo] = {}

    def discover(self) -> Discovery:
        nodes: dict[str, _Node] = {}
        infos: dict[str, DeviceInfo] = {}
        found = self._discover(nodes, infos)
        self._nodes, self._infos = nodes, infos
        return found

    def _discover(self, nodes: dict[str, _Node], infos: dict[str, DeviceInfo]) -> Discovery:
        """Fills `nodes` and `infos`, both by id."""
        topology = self._root / _TOPOLOGY
        if not topology.is_dir():
            return Discovery(reason="no AMD compute driver (no /sys/class/kfd)")
        gpus = self._gpus(topology)
        if not gpus:
            return Discovery(reason="the AMD driver finds no GPU")
        if not (self._root / "dev/kfd").exists():
            return Discovery(reason="AMD GPUs: there is no /dev/kfd; load the module amdgpu anew", broken=True)
        problems = []
        named = Counter(node.uuid for node in gpus)  # the parts of a divided GPU share one
        places = {node.number: place for place, node in enumerate(gpus)}
        for place, node in enumerate(gpus):
            if not (self._root / f"dev/dri/renderD{node.minor}").exists():
                problems.append(f"GPU {place} has no /dev/dri/renderD{node.minor}; load the module amdgpu anew")
                continue
            own = node.uuid if node.uuid and named[node.uuid] == 1 else f"{node.address}/{node.minor}"
            nodes[own], infos[own] = node, self._info(place, own, node, places)
        usable = {info.index for info in infos.values()}
        devices = tuple(
            info.model_copy(update={"links": [peer for peer in info.links if peer in usable]})
            for info in infos.values()
        )
        return Discovery(devices, f"AMD GPUs: {'; '.join(problems)}" if problems else "", bool(problems))

    @staticmethod
    def _gpus(topology: Path) -> list[_Node]:
        found = [
            _Node(int(directory.name), directory, _properties(directory / "properties"))
            for directory in topology.iterdir()
            if directory.name.isdigit()
        ]
        return sorted((node for node in found if node.properties.get("simd_count")), key=lambda node: node.number)

    def _info(self, index: int, own: str, node: _Node, places: Mapping[int, int]) -> DeviceInfo:
        banks = (_properties(bank / "properties") for bank in sorted((node.directory / "mem_banks").glob("*")))
        links = (_properties(link / "properties") for link in sorted((node.directory / "io_links").glob("*")))
        peers = {places.get(link.get("node_to", -1), index) for link in links if link.get("type") == _XGMI} - {index}
        return DeviceInfo(
            kind=self.kind,
            index=index,
            id=own,
            model=self._model(node),
            mem=sum(bank.get("size_in_bytes", 0) for bank in banks if bank.get("heap_type") in _VIDEO_MEMORY),
            numa=numa_node(self._root, node.address),
            links=sorted(peers),
        )

    def _model(self, node: _Node) -> str:
        """`MI300X` or `RX 7900 XTX`; the compilers' name of the family for a GPU that nobody has named."""
        device = f"{node.properties.get('device_id', 0):04x}"
        if device in _KNOWN:
            return _KNOWN[device]
        revision = number(read(self._root / "sys/bus/pci/devices" / node.address / "revision"))
        wanted = re.compile(rf"{device},\s*{revision:02x},\s*(.+)", re.IGNORECASE)
        for line in read(self._root / _NAMES).splitlines():
            if match := wanted.fullmatch(line.strip()):
                return re.sub(r"^(AMD\s+)?(Radeon\s+|Instinct\s+)?", "", match[1]).strip() or match[1]
        return gfx_target(node.properties.get("gfx_target_version", 0))

    def attach(self, shares: Sequence[DeviceShare]) -> Attachment:
        nodes = [self._nodes[find(self._infos, share).id] for share in shares]
        # By name where they have one of their own. The others are counted among those that are seen: without walls,
        # where all are seen, a GPU inside a processor cannot be told from its neighbours.
        visible = [share.id if share.id.startswith(_NAMED) else str(place) for place, share in enumerate(shares)]
        given = Attachment({"ROCR_VISIBLE_DEVICES": ",".join(visible)})
        if not shares:
            return given
        given |= Attachment(
            nodes=(self._shown("/dev/kfd"), *(self._shown(f"/dev/dri/renderD{n.minor}") for n in nodes))
        )
        given |= show(self._root, "/sys/devices/virtual/kfd", "/sys/class/kfd/kfd")
        for node in nodes:
            device = f"/sys/dev/char/{_DRM_MAJOR}:{node.minor}"
            given |= show(self._root, f"/sys/bus/pci/devices/{node.address}", device)
        return given

    def _shown(self, node: str) -> Shown:
        return Shown(str(self._root / node.lstrip("/")), node)
