"""NVIDIA GPUs: short names, the right device nodes, and every way in which a driver can be broken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from madang.agent.devices import nvml
from madang.agent.devices.cuda import CudaDevices, pci_address, short_model
from madang.schemas.agent import DeviceInfo, DeviceShare
from tests.device_trees import FakeNvml, nvidia_tree, put, put_pci


def share(device: DeviceInfo, milli: int = 1000) -> DeviceShare:
    return DeviceShare(kind="cuda", index=device.index, id=device.id, milli=milli)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A100-PCIE-40GB", "A100"),
        ("NVIDIA A100 80GB PCIe", "A100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 NVL", "H100"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA L40S", "L40S"),
        ("Tesla V100-SXM2-32GB", "V100"),
        ("Tesla T4", "T4"),
        ("NVIDIA Tesla P100-PCIE-16GB", "P100"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 3080 Ti", "RTX 3080 Ti"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "RTX 4090 Laptop"),
        ("GeForce GTX 1060 6GB", "GTX 1060"),
        ("NVIDIA RTX A6000", "RTX A6000"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("Quadro RTX 6000", "Quadro RTX 6000"),
        ("NVIDIA TITAN V", "TITAN V"),
        ("NVIDIA", "NVIDIA"),
        ("", "unknown"),
    ],
)
def test_models_are_called_as_people_call_them(name: str, model: str) -> None:
    assert short_model(name) == model


def test_an_address_as_sys_writes_it() -> None:
    assert pci_address("00000000:C7:00.0") == "0000:c7:00.0"
    assert pci_address("00010000:07:00.0") == "0000:07:00.0"


def test_what_is_found_has_its_numa_node_and_links(tmp_path: Path) -> None:
    devices = CudaDevices(tmp_path, nvidia_tree(tmp_path)).discover().devices
    assert [(one.model, one.mem, one.numa, one.links) for one in devices] == [
        ("A100", 80 << 30, 0, [1]),
        ("A100", 80 << 30, 0, [0]),
        ("A100", 80 << 30, 1, [3]),
        ("A100", 80 << 30, 1, [2]),
    ]


def test_a_container_gets_the_node_of_its_gpu_by_minor_number_and_no_privileged_ones(tmp_path: Path) -> None:
    plugin = CudaDevices(tmp_path, nvidia_tree(tmp_path))
    devices = plugin.discover().devices
    given = plugin.attach([share(devices[1]), share(devices[3])])
    assert {node.inside for node in given.nodes} == {
        "/dev/nvidiactl",
        "/dev/nvidia-uvm",
        "/dev/nvidia-uvm-tools",
        "/dev/nvidia2",
        "/dev/nvidia0",
    }
    assert given.variables == {"CUDA_VISIBLE_DEVICES": f"{devices[1].id},{devices[3].id}"}


def test_nvml_is_not_loaded_where_there_can_be_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)  # importing it would fail
    found = CudaDevices(tmp_path).discover()
    assert found.reason == "no NVIDIA driver (no /dev/nvidiactl)"
    put(tmp_path, "/dev/nvidiactl")
    assert "nvidia-ml-py is not installed" in CudaDevices(tmp_path).discover().reason


def test_nvidias_own_binding_has_all_that_is_asked_of_it() -> None:
    binding = pytest.importorskip("pynvml", reason="nvidia-ml-py is for Linux")
    asked = {name for name in vars(nvml.Nvml) if name.startswith("nvml")} | {"NVMLError"}
    assert len(asked) > 10
    assert {name for name in asked if not hasattr(binding, name)} == set()
    assert nvml.P2P_NVLINK == binding.NVML_P2P_CAPS_INDEX_NVLINK
    for name in ("DRIVER_NOT_LOADED", "LIBRARY_NOT_FOUND", "GPU_IS_LOST"):
        assert getattr(nvml, name) == getattr(binding, f"NVML_ERROR_{name}")
    assert nvml.VERSION_MISMATCH == binding.NVML_ERROR_LIB_RM_VERSION_MISMATCH


def test_a_gpu_without_a_driver_is_told(tmp_path: Path) -> None:
    put_pci(tmp_path, "0000:65:00.1", "0000:64:00.0", vendor="0x10de", device="0x22ba", **{"class": "0x040300"})
    assert not CudaDevices(tmp_path).discover().broken  # sound of a graphics card
    put_pci(tmp_path, "0000:65:00.0", "0000:64:00.0", vendor="0x10de", device="0x2684", **{"class": "0x030000"})
    found = CudaDevices(tmp_path).discover()
    assert found.broken
    assert "0000:65:00.0" in found.reason
    assert "install the driver" in found.reason


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (nvml.VERSION_MISMATCH, "another version than its libraries; restart the machine"),
        (nvml.LIBRARY_NOT_FOUND, "libnvidia-ml is not installed"),
        (999, "NVML says: an error; see whether nvidia-smi works"),
    ],
)
def test_a_broken_driver_is_told_with_what_to_do(tmp_path: Path, code: int, words: str) -> None:
    made = nvidia_tree(tmp_path)
    made.init_failure = code
    plugin = CudaDevices(tmp_path, made)
    found = plugin.discover()
    assert (found.devices, found.broken) == ((), True)
    assert words in found.reason
    made.init_failure = 0
    assert len(plugin.discover().devices) == 4  # repaired: no restart of Madang is needed


def test_a_library_without_a_driver_is_ordinary(tmp_path: Path) -> None:
    found = CudaDevices(tmp_path, FakeNvml(init_failure=nvml.DRIVER_NOT_LOADED)).discover()
    assert not found.broken


def test_one_sick_gpu_does_not_hide_the_others(tmp_path: Path) -> None:
    made = nvidia_tree(tmp_path)
    made.gpus[1].failure = nvml.GPU_IS_LOST
    made.gpus[2].mig = 1
    (tmp_path / "dev/nvidia0").unlink()
    found = CudaDevices(tmp_path, made).discover()
    assert [(one.index, one.links) for one in found.devices] == [(0, [])]
    assert found.broken
    for words in ("GPU 1 has fallen off the bus", "nvidia-smi -i 2 -mig 0", "GPU 3 has no /dev/nvidia0"):
        assert words in found.reason


def test_without_the_memory_node_cuda_could_not_start(tmp_path: Path) -> None:
    made = nvidia_tree(tmp_path)
    (tmp_path / "dev/nvidia-uvm").unlink()
    found = CudaDevices(tmp_path, made).discover()
    assert found.devices == ()
    assert "nvidia-modprobe -u" in found.reason


def test_containers_start_while_devices_are_being_looked_at(tmp_path: Path) -> None:
    made = nvidia_tree(tmp_path)
    plugin = CudaDevices(tmp_path, made)
    devices = plugin.discover().devices
    seen: list[int] = []
    made.before = lambda: seen.append(len(plugin.attach([share(devices[0])]).nodes))
    plugin.discover()
    assert seen == [4]
