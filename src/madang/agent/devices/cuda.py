"""NVIDIA GPUs, found by NVML; a container sees the device nodes of its own GPUs only."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from madang.agent.devices import nvml as library
from madang.agent.devices.base import Attachment, Discovery, Shown, find
from madang.agent.devices.nvml import Handle, Nvml, code_of, text
from madang.agent.devices.sysfs import numa_node, pci_functions
from madang.schemas.agent import DeviceInfo, DeviceShare

_VENDOR: Final = "0x10de"
_DISPLAY: Final = "0x03"  # first byte of the PCI class
_SHARED_NODES: Final = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")
"""What every CUDA program opens beside the node of its GPU; none of them gives access to a GPU by itself."""

_BRANDS: Final = ("NVIDIA", "Tesla", "GeForce", "GRID")
_FORM: Final = re.compile(r"(SXM\d?|PCIe|PCI|NVL|OAM|HBM\d\w*|\d+ ?GB|GPU|Generation|Server|Workstation|Edition)", re.I)


def short_model(name: str) -> str:
    """`NVIDIA A100-SXM4-80GB` is an A100, `NVIDIA GeForce RTX 4090` an RTX 4090.

    The makers' words before and the form and memory behind are left out.
    """
    words = [word for word in re.split(r"[-\s]+", name) if word]
    while len(words) > 1 and words[0] in _BRANDS:
        words.pop(0)
    kept: list[str] = []
    for word in words:
        if kept and _FORM.fullmatch(word):
            break
        kept.append(word)
    return " ".join(kept) or "unknown"


def pci_address(bus_id: str) -> str:
    """NVML's `00000000:65:00.0` as /sys writes it: `0000:65:00.0`."""
    domain, _, rest = bus_id.lower().partition(":")
    return f"{domain[-4:]}:{rest}"


@dataclass(frozen=True, slots=True)
class _Gpu:
    handle: Handle
    info: DeviceInfo
    node: str


class CudaDevices:
    """See devices.base.DevicePlugin. NVML stays loaded once there is a GPU: to load it anew costs seconds."""

    kind = "cuda"

    def __init__(self, root: Path = Path("/"), nvml: Nvml | None = None) -> None:
        self._root = root
        self._given = nvml
        self._nvml: Nvml | None = None
        self._gpus: dict[str, _Gpu] = {}

    def discover(self) -> Discovery:
        gpus: dict[str, _Gpu] = {}
        found = self._discover(gpus)
        self._gpus = gpus
        return found

    def _discover(self, gpus: dict[str, _Gpu]) -> Discovery:
        """Fills `gpus`, which stays empty when they cannot be used."""
        if self._given is None and not library.may_be_there(self._root):
            return self._no_driver("no NVIDIA driver (no /dev/nvidiactl)")
        try:
            nvml = self._given or library.load()
        except ImportError:
            return Discovery(reason="NVIDIA GPUs: the package nvidia-ml-py is not installed", broken=True)
        try:
            if self._nvml is None:
                nvml.nvmlInit()
                self._nvml = nvml
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            self._nvml = None
            return self._failed(error)
        problems = [self._look(nvml, index, gpus) for index in range(count)]
        if gpus and not self._make_uvm():
            gpus.clear()
            problems = ["there is no /dev/nvidia-uvm; run `nvidia-modprobe -u -c 0` as root"]
        devices = tuple(gpu.info.model_copy(update={"links": _links(nvml, gpu, gpus)}) for gpu in gpus.values())
        said = "; ".join(problem for problem in problems if problem)
        if not devices and not said:
            return self._no_driver("the NVIDIA driver finds no GPU")
        return Discovery(devices, f"NVIDIA GPUs: {said}" if said else "", bool(said))

    def _no_driver(self, reason: str) -> Discovery:
        """Ordinary, unless there is a GPU on the bus."""
        seen = [one.address for one in pci_functions(self._root, _VENDOR) if one.group.startswith(_DISPLAY)]
        if not seen:
            return Discovery(reason=reason)
        said = f"NVIDIA GPUs: {', '.join(seen)}, but {reason}; install the driver, so that nvidia-smi works"
        return Discovery(reason=said, broken=True)

    def _failed(self, error: Exception) -> Discovery:
        code = code_of(error)
        driver = (self._root / "dev/nvidiactl").exists() or (self._root / "proc/driver/nvidia").exists()
        if code == library.LIBRARY_NOT_FOUND and driver:
            reason = "the driver is loaded, but its library libnvidia-ml is not installed"
        elif code == library.DRIVER_NOT_LOADED and not driver:
            return self._no_driver("the NVIDIA driver is not loaded")
        elif code == library.VERSION_MISMATCH:
            reason = "the driver in the kernel is another version than its libraries; restart the machine"
        else:
            reason = f"NVML says: {error}; see whether nvidia-smi works"
        return Discovery(reason=f"NVIDIA GPUs: {reason}", broken=True)

    def _look(self, nvml: Nvml, index: int, gpus: dict[str, _Gpu]) -> str:
        """Take one GPU; says why when it cannot be used."""
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            minor = nvml.nvmlDeviceGetMinorNumber(handle)
            if _partitioned(nvml, handle):
                return (
                    f"GPU {index} is divided by MIG, which is not supported; `nvidia-smi -i {index} -mig 0` ends that"
                )
            node = f"/dev/nvidia{minor}"
            if not (self._root / node.lstrip("/")).exists():
                return f"GPU {index} has no {node}; run `nvidia-modprobe -c {minor}` as root"
            info = DeviceInfo(
                kind=self.kind,
                index=index,
                id=text(nvml.nvmlDeviceGetUUID(handle)),
                model=short_model(text(nvml.nvmlDeviceGetName(handle))),
                mem=nvml.nvmlDeviceGetMemoryInfo(handle).total,
                numa=numa_node(self._root, pci_address(text(nvml.nvmlDeviceGetPciInfo(handle).busId))),
            )
        except nvml.NVMLError as error:
            lost = code_of(error) == library.GPU_IS_LOST
            return f"GPU {index} {'has fallen off the bus; restart the machine' if lost else f'fails: {error}'}"
        gpus[info.id] = _Gpu(handle, info, node)
        return ""

    def _make_uvm(self) -> bool:
        """CUDA's memory node is made when the first program asks for it; a sandbox could not ask."""
        uvm = self._root / "dev/nvidia-uvm"
        tool = shutil.which("nvidia-modprobe")
        if not uvm.exists() and tool is not None and self._root == Path("/"):
            subprocess.run([tool, "-u", "-c", "0"], capture_output=True, timeout=10, check=False)
        return uvm.exists()

    def attach(self, shares: Sequence[DeviceShare]) -> Attachment:
        known = {gpu.info.id: gpu.info for gpu in self._gpus.values()}
        variables = {"CUDA_VISIBLE_DEVICES": ",".join(find(known, share).id for share in shares)}
        if not shares:
            return Attachment(variables)
        nodes = [node for node in _SHARED_NODES if (self._root / node.lstrip("/")).exists()]
        nodes += [self._gpus[share.id].node for share in shares]
        return Attachment(variables, tuple(Shown(str(self._root / node.lstrip("/")), node) for node in nodes))


def _partitioned(nvml: Nvml, handle: Handle) -> bool:
    try:
        return nvml.nvmlDeviceGetMigMode(handle)[0] == 1
    except nvml.NVMLError:  # most GPUs know nothing of it
        return False


def _links(nvml: Nvml, gpu: _Gpu, gpus: Mapping[str, _Gpu]) -> list[int]:
    """GPUs that it reaches by NVLink, directly or through a switch."""
    found = []
    for other in gpus.values():
        try:
            linked = other is not gpu and nvml.nvmlDeviceGetP2PStatus(gpu.handle, other.handle, library.P2P_NVLINK) == 0
        except nvml.NVMLError:
            linked = False
        if linked:
            found.append(other.info.index)
    return found
