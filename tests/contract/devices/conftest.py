"""Every device plug-in on a machine that has such devices, and on one that has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from madang.agent.devices.base import DevicePlugin
from madang.agent.devices.cuda import CudaDevices
from madang.agent.devices.mock import MockDevices
from madang.agent.devices.nvml import may_be_there
from madang.agent.devices.rocm import RocmDevices
from madang.agent.devices.tpu import TpuDevices
from tests.device_trees import amd_tree, nvidia_tree, tpu_tree


@dataclass
class Case:
    """A plug-in, the variable that says which devices a program may use, and the machine's root."""

    plugin: DevicePlugin
    variable: str
    root: Path


def _mock(root: Path) -> Case:
    return Case(MockDevices("4xA100,2xT4"), "CUDA_VISIBLE_DEVICES", root)


def _cuda_fake(root: Path) -> Case:
    return Case(CudaDevices(root, nvidia_tree(root)), "CUDA_VISIBLE_DEVICES", root)


def _cuda_real(root: Path) -> Case:
    if not may_be_there(Path("/")):
        pytest.skip("no NVIDIA driver on this machine: real NVML is not tried")
    plugin = CudaDevices()
    found = plugin.discover()
    if not found.devices:
        pytest.skip(f"no NVIDIA GPU to use on this machine: {found.reason}")
    return Case(plugin, "CUDA_VISIBLE_DEVICES", Path("/"))


def _rocm(root: Path) -> Case:
    amd_tree(root)
    return Case(RocmDevices(root), "ROCR_VISIBLE_DEVICES", root)


def _tpu_accel(root: Path) -> Case:
    tpu_tree(root)
    return Case(TpuDevices(root), "TPU_VISIBLE_CHIPS", root)


def _tpu_vfio(root: Path) -> Case:
    tpu_tree(root, device="0x0063", chips=8, driver="vfio")
    return Case(TpuDevices(root), "TPU_VISIBLE_CHIPS", root)


CASES: dict[str, Callable[[Path], Case]] = {
    "mock": _mock,
    "cuda with a made NVML": _cuda_fake,
    "cuda with the real NVML": _cuda_real,
    "rocm": _rocm,
    "tpu by accel": _tpu_accel,
    "tpu by vfio": _tpu_vfio,
}
BARE: dict[str, Callable[[Path], DevicePlugin]] = {"cuda": CudaDevices, "rocm": RocmDevices, "tpu": TpuDevices}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return CASES[request.param](tmp_path)


@pytest.fixture(params=BARE)
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> DevicePlugin:
    return BARE[request.param](tmp_path)
