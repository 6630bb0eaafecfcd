"""The part of NVIDIA's management library (NVML) that is used here, and loading it where there may be a driver."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Final, Protocol, cast

DRIVER_NOT_LOADED: Final = 9
LIBRARY_NOT_FOUND: Final = 12
GPU_IS_LOST: Final = 15
VERSION_MISMATCH: Final = 18
P2P_NVLINK: Final = 2
"""NVML_P2P_CAPS_INDEX_NVLINK."""

_LIBRARIES: Final = (
    "usr/lib/*-linux-gnu/libnvidia-ml.so.1",
    "usr/lib64/libnvidia-ml.so.1",
    "usr/lib/libnvidia-ml.so.1",
    "run/opengl-driver/lib/libnvidia-ml.so.1",
)


class Handle(Protocol):
    """A GPU in NVML's hands; opaque."""


class Memory(Protocol):
    """c_nvmlMemory_t: bytes."""

    total: int


class PciInfo(Protocol):
    """nvmlPciInfo_t."""

    busId: str | bytes


class Nvml(Protocol):
    """The module `pynvml`, as far as it is needed. Every function raises NVMLError, whose `value` is NVML's code."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> object: ...
    def nvmlDeviceGetCount(self) -> int: ...
    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> Handle: ...
    def nvmlDeviceGetUUID(self, handle: Handle, /) -> str | bytes: ...
    def nvmlDeviceGetName(self, handle: Handle, /) -> str | bytes: ...
    def nvmlDeviceGetMemoryInfo(self, handle: Handle, /) -> Memory: ...
    def nvmlDeviceGetMinorNumber(self, handle: Handle, /) -> int: ...
    def nvmlDeviceGetPciInfo(self, handle: Handle, /) -> PciInfo: ...
    def nvmlDeviceGetMigMode(self, handle: Handle, /) -> list[int]: ...
    def nvmlDeviceGetP2PStatus(self, one: Handle, other: Handle, index: int, /) -> int: ...


def may_be_there(root: Path) -> bool:
    """Whether it is worth the 5 MiB that loading NVML takes: there is a driver, or at least its library."""
    if (root / "dev/nvidiactl").exists() or (root / "proc/driver/nvidia").exists():
        return True
    return any(next(root.glob(pattern), None) for pattern in _LIBRARIES)


def load() -> Nvml:
    """NVIDIA's own binding. Raises ImportError when the package nvidia-ml-py is not installed."""
    return cast(Nvml, importlib.import_module("pynvml"))


def code_of(error: Exception) -> int:
    """NVML's number of an error; 0 for an error of any other kind."""
    value = getattr(error, "value", 0)
    return value if isinstance(value, int) else 0


def text(value: str | bytes) -> str:
    """What NVML says, which older bindings give as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
