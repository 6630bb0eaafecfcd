"""AMD GPUs from the kernel's own files: models, memory, links, and what a sandbox has to see."""

from __future__ import annotations

from pathlib import Path

import pytest

from madang.agent.devices.base import Shown
from madang.agent.devices.rocm import RocmDevices, gfx_target
from madang.schemas.agent import DeviceInfo, DeviceShare
from tests.device_trees import GIB, amd_tree, put

NODES = "sys/devices/virtual/kfd/kfd/topology/nodes"


def share(device: DeviceInfo) -> DeviceShare:
    return DeviceShare(kind="rocm", index=device.index, id=device.id, milli=1000)


def edit(root: Path, node: int, before: str, after: str) -> None:
    file = root / NODES / str(node) / "properties"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


@pytest.mark.parametrize(
    ("version", "name"),
    [
        (90010, "gfx90a"),
        (90402, "gfx942"),
        (90500, "gfx950"),
        (110000, "gfx1100"),
        (100306, "gfx1036"),
        (90006, "gfx906"),
    ],
)
def test_targets_as_compilers_call_them(version: int, name: str) -> None:
    assert gfx_target(version) == name


def test_what_is_found(tmp_path: Path) -> None:
    amd_tree(tmp_path)
    devices = RocmDevices(tmp_path).discover().devices
    assert [(one.model, one.mem, one.numa, one.links) for one in devices] == [
        ("MI210", 64 * GIB, 0, [1]),
        ("MI210", 64 * GIB, 0, [0]),
        ("MI210", 64 * GIB, 1, [3]),
        ("MI210", 64 * GIB, 1, [2]),
    ]
    assert devices[0].id == "GPU-93bb5a65a5f0b1dc"  # as the runtime prints it


def test_a_sandbox_sees_the_topology_and_its_own_render_node(tmp_path: Path) -> None:
    amd_tree(tmp_path)
    plugin = RocmDevices(tmp_path)
    devices = plugin.discover().devices
    given = plugin.attach([share(devices[2])])
    assert {node.inside for node in given.nodes} == {"/dev/kfd", "/dev/dri/renderD130"}
    assert given.variables == {"ROCR_VISIBLE_DEVICES": devices[2].id}
    own = "/sys/devices/pci0000:43/0000:00:01.1/0000:43:00.0"
    assert {shown.inside for shown in given.read_only} == {
        "/sys/devices/virtual/kfd",
        "/sys/devices/virtual/kfd/kfd",
        own,
        f"{own}/drm/renderD130",
    }
    assert set(given.links) == {
        Shown("/sys/devices/virtual/kfd/kfd", "/sys/class/kfd/kfd"),
        Shown(own, "/sys/bus/pci/devices/0000:43:00.0"),
        Shown(f"{own}/drm/renderD130", "/sys/dev/char/226:130"),
    }


def test_names_come_from_libdrm_where_it_is_installed(tmp_path: Path) -> None:
    amd_tree(tmp_path)
    edit(tmp_path, 2, f"device_id {0x740F}", f"device_id {0x744C}")
    edit(tmp_path, 2, "gfx_target_version 90010", "gfx_target_version 110000")
    assert RocmDevices(tmp_path).discover().devices[0].model == "gfx1100"
    put(tmp_path, "/sys/bus/pci/devices/0000:03:00.0/revision", "0xc8\n")
    put(
        tmp_path,
        "/usr/share/libdrm/amdgpu.ids",
        "1.0.0\n744C,\tCC,\tAMD Radeon RX 7900 XT\n744C,\tC8,\tAMD Radeon RX 7900 XTX\n",
    )
    assert RocmDevices(tmp_path).discover().devices[0].model == "RX 7900 XTX"


def test_gpus_without_a_name_of_their_own_are_counted_among_those_that_are_seen(tmp_path: Path) -> None:
    amd_tree(tmp_path)
    for place in range(4):
        edit(tmp_path, place + 2, f"unique_id {0x93BB5A65A5F0B1DC + place}", f"unique_id {7 if place < 2 else 0}")
    plugin = RocmDevices(tmp_path)
    devices = plugin.discover().devices
    assert len({one.id for one in devices}) == 4
    assert plugin.attach([share(devices[1]), share(devices[3])]).variables == {"ROCR_VISIBLE_DEVICES": "0,1"}


def test_what_is_broken_is_told(tmp_path: Path) -> None:
    amd_tree(tmp_path)
    (tmp_path / "dev/dri/renderD129").unlink()
    found = RocmDevices(tmp_path).discover()
    assert [(one.index, one.links) for one in found.devices] == [(0, []), (2, [3]), (3, [2])]
    assert "GPU 1 has no /dev/dri/renderD129" in found.reason
    (tmp_path / "dev/kfd").unlink()
    found = RocmDevices(tmp_path).discover()
    assert (found.devices, found.broken) == ((), True)
    assert "/dev/kfd" in found.reason


def test_a_driver_without_a_gpu_is_ordinary(tmp_path: Path) -> None:
    put(tmp_path, "/sys/class/kfd/kfd/topology/nodes/0/properties", "cpu_cores_count 8\nsimd_count 0\n")
    found = RocmDevices(tmp_path).discover()
    assert (found.devices, found.broken) == ((), False)
