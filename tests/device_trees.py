"""Parts of /dev and /sys as machines with accelerators have them, made in a directory, and an NVML to go with them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

GIB = 1 << 30


def put(root: Path, path: str, text: str = "") -> None:
    """A small file, its directories included."""
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def put_node(root: Path, path: str) -> None:
    """A device node where tests may make one (it is another /dev/zero), else an ordinary file."""
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.mknod(file, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        file.write_text("")
    file.chmod(0o666)


def link(root: Path, path: str, target: str) -> None:
    """A symbolic link as /sys has them: relative."""
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.symlink_to(os.path.relpath(root / target.lstrip("/"), file.parent))


def put_pci(root: Path, address: str, bridge: str, **files: str) -> str:
    """A PCI function behind a bridge, with the files that the kernel makes for it; returns its directory."""
    directory = f"/sys/devices/pci{address[:7]}/{bridge}/{address}"
    for name, text in files.items():
        put(root, f"{directory}/{name}", f"{text}\n")
    link(root, f"/sys/bus/pci/devices/{address}", directory)
    return directory


# --- AMD ---

MI210 = {"simd_count": 416, "gfx_target_version": 90010, "vendor_id": 4098, "device_id": 0x740F, "domain": 0}


def amd_tree(root: Path) -> None:
    """Two processors and four MI210: two pairs with xGMI between them, each pair on one processor."""
    nodes = "/sys/devices/virtual/kfd/kfd/topology/nodes"
    link(root, "/sys/class/kfd/kfd", "/sys/devices/virtual/kfd/kfd")
    for processor in (0, 1):
        put(root, f"{nodes}/{processor}/properties", "cpu_cores_count 64\nsimd_count 0\ngfx_target_version 0\n")
    put_node(root, "/dev/kfd")
    for place in range(4):
        number, bus, minor = place + 2, place * 0x20 + 3, 128 + place
        peer = (place ^ 1) + 2
        properties = MI210 | {
            "location_id": bus << 8,
            "drm_render_minor": minor,
            "unique_id": 0x93BB5A65A5F0B1DC + place,
        }
        put(root, f"{nodes}/{number}/properties", "".join(f"{name} {value}\n" for name, value in properties.items()))
        put(root, f"{nodes}/{number}/mem_banks/0/properties", f"heap_type 1\nsize_in_bytes {64 * GIB}\n")
        put(root, f"{nodes}/{number}/io_links/0/properties", f"type 2\nnode_from {number}\nnode_to {place // 2}\n")
        put(root, f"{nodes}/{number}/io_links/1/properties", f"type 11\nnode_from {number}\nnode_to {peer}\n")
        directory = put_pci(
            root, f"0000:{bus:02x}:00.0", "0000:00:01.1", vendor="0x1002", device="0x740f", numa_node=str(place // 2)
        )
        put(root, f"{directory}/drm/renderD{minor}/dev", f"226:{minor}\n")
        link(root, f"/sys/dev/char/226:{minor}", f"{directory}/drm/renderD{minor}")
        put_node(root, f"/dev/dri/renderD{minor}")


# --- Google ---


def tpu_tree(root: Path, device: str = "0x005e", chips: int = 4, driver: str = "accel", **files: str) -> None:
    """Chips with the driver of their generation: `accel` or `vfio`; beside them a network card of the same maker."""
    put_pci(root, "0000:00:03.0", "0000:00:00.0", vendor="0x1ae0", device="0x0042", numa_node="0")
    for place in range(chips):
        address = f"0000:00:{place + 4:02x}.0"
        numa = str(place * 2 // chips)
        directory = put_pci(root, address, "0000:00:00.0", vendor="0x1ae0", device=device, numa_node=numa, **files)
        if driver == "accel":
            put(root, f"{directory}/accel/accel{place}/dev", f"120:{place}\n")
            link(root, f"/sys/class/accel/accel{place}", f"{directory}/accel/accel{place}")
            put_node(root, f"/dev/accel{place}")
        elif driver == "vfio":
            group = f"/sys/kernel/iommu_groups/{place + 10}"
            link(root, f"{group}/devices/{address}", directory)
            link(root, f"{directory}/iommu_group", group)
            put_node(root, f"/dev/vfio/{place + 10}")
            put_node(root, "/dev/vfio/vfio") if place == 0 else None


# --- NVIDIA ---


class NvmlError(Exception):
    """As pynvml.NVMLError: with NVML's code."""

    def __init__(self, value: int, text: str = "an error") -> None:
        super().__init__(text)
        self.value = value


@dataclass
class FakeGpu:
    """What NVML says of a GPU. `failure`: its code for everything but the handle."""

    uuid: str
    name: str = "NVIDIA A100-SXM4-80GB"
    total: int = 80 * GIB
    minor: int = 0
    bus: str = "00000000:07:00.0"
    peers: Sequence[int] = ()
    mig: int = 0
    failure: int = 0


@dataclass
class FakeMemory:
    total: int


@dataclass
class FakePci:
    busId: str | bytes


@dataclass
class FakeNvml:
    """In place of the module pynvml; a handle is the GPU's index."""

    gpus: list[FakeGpu] = field(default_factory=list)
    init_failure: int = 0
    NVMLError: type[Exception] = NvmlError
    before: Callable[[], None] | None = None  # called when the count is asked for

    def nvmlInit(self) -> None:
        if self.init_failure:
            raise NvmlError(self.init_failure)

    def nvmlDeviceGetCount(self) -> int:
        if self.before is not None:
            self.before()
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> int:
        return index

    def _gpu(self, handle: object) -> FakeGpu:
        assert isinstance(handle, int)
        gpu = self.gpus[handle]
        if gpu.failure:
            raise NvmlError(gpu.failure)
        return gpu

    def nvmlDeviceGetUUID(self, handle: object, /) -> str:
        return self._gpu(handle).uuid

    def nvmlDeviceGetName(self, handle: object, /) -> bytes:
        return self._gpu(handle).name.encode()  # as older bindings do

    def nvmlDeviceGetMemoryInfo(self, handle: object, /) -> FakeMemory:
        return FakeMemory(self._gpu(handle).total)

    def nvmlDeviceGetMinorNumber(self, handle: object, /) -> int:
        return self._gpu(handle).minor

    def nvmlDeviceGetPciInfo(self, handle: object, /) -> FakePci:
        return FakePci(self._gpu(handle).bus)

    def nvmlDeviceGetMigMode(self, handle: object, /) -> list[int]:
        if "T4" in self._gpu(handle).name:
            raise NvmlError(3)
        return [self._gpu(handle).mig, 0]

    def nvmlDeviceGetP2PStatus(self, one: object, other: object, index: int, /) -> int:
        assert index == 2
        assert isinstance(other, int)
        return 0 if other in self._gpu(one).peers else 1


def nvidia_tree(root: Path, numa: Mapping[str, int] | None = None) -> FakeNvml:
    """Four GPUs whose minor numbers run against their indices, two pairs with NVLink."""
    for name in ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset", "nvidia-caps/nvidia-cap1"):
        put_node(root, f"/dev/{name}")
    gpus = []
    for index in range(4):
        bus = f"{(index + 1) * 0x20 + 7:02x}:00.0"
        put_node(root, f"/dev/nvidia{3 - index}")
        put_pci(root, f"0000:{bus}", "0000:00:01.1", vendor="0x10de", device="0x20b2", numa_node=str(index // 2))
        gpus.append(FakeGpu(f"GPU-{index:08x}-0000", minor=3 - index, bus=f"00000000:{bus.upper()}", peers=[index ^ 1]))
    return FakeNvml(gpus)
