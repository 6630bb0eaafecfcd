"""TPU chips: generations by PCI number, both drivers, and no shares of a chip."""

from __future__ import annotations

from pathlib import Path

import pytest

from madang.agent.devices.base import Shown
from madang.agent.devices.tpu import TpuDevices
from madang.domain.errors import ImpossibleRequest
from madang.schemas.agent import DeviceInfo, DeviceShare
from tests.device_trees import GIB, tpu_tree


def share(device: DeviceInfo, milli: int = 1000) -> DeviceShare:
    return DeviceShare(kind="tpu", index=device.index, id=device.id, milli=milli)


@pytest.mark.parametrize(
    ("number", "board", "model", "gib"),
    [
        ("0x0027", "0x004e", "v2", 16),
        ("0x0027", "0x004f", "v3", 32),
        ("0x005e", "0x0000", "v4", 32),
        ("0x0062", "0x0000", "v5p", 95),
        ("0x0063", "0x0000", "v5e", 16),
        ("0x006f", "0x0000", "v6e", 32),
        ("0x0076", "0x0000", "v7x", 192),
    ],
)
def test_generations(tmp_path: Path, number: str, board: str, model: str, gib: int) -> None:
    tpu_tree(tmp_path, device=number, chips=4, subsystem_device=board)
    found = TpuDevices(tmp_path).discover()
    assert [(one.model, one.mem, one.numa) for one in found.devices] == [(model, gib * GIB, n) for n in (0, 0, 1, 1)]
    assert found.devices[1].links == [0, 2, 3]


def test_a_chip_of_the_older_driver(tmp_path: Path) -> None:
    tpu_tree(tmp_path)
    plugin = TpuDevices(tmp_path)
    given = plugin.attach([share(plugin.discover().devices[2])])
    own = "/sys/devices/pci0000:00/0000:00:00.0/0000:00:06.0"
    assert [node.inside for node in given.nodes] == ["/dev/accel2"]
    assert given.variables == {
        "TPU_VISIBLE_CHIPS": "2",
        "TPU_CHIPS_PER_HOST_BOUNDS": "1,1,1",
        "TPU_HOST_BOUNDS": "1,1,1",
    }
    assert set(given.links) == {
        Shown(own, "/sys/bus/pci/devices/0000:00:06.0"),
        Shown(f"{own}/accel/accel2", "/sys/class/accel/accel2"),
    }


def test_chips_by_vfio(tmp_path: Path) -> None:
    tpu_tree(tmp_path, device="0x006f", chips=8, driver="vfio")
    plugin = TpuDevices(tmp_path)
    devices = plugin.discover().devices
    given = plugin.attach([share(devices[0]), share(devices[7])])
    assert {node.inside for node in given.nodes} == {"/dev/vfio/vfio", "/dev/vfio/10", "/dev/vfio/17"}
    assert "/sys/kernel/iommu_groups/17" in {shown.inside for shown in given.read_only}
    assert given.variables["TPU_CHIPS_PER_HOST_BOUNDS"] == "1,2,1"
    everything = plugin.attach([share(device) for device in devices])
    assert everything.variables == {"TPU_VISIBLE_CHIPS": "0,1,2,3,4,5,6,7"}


def test_a_chip_without_a_driver_is_told(tmp_path: Path) -> None:
    tpu_tree(tmp_path, chips=1, driver="")
    found = TpuDevices(tmp_path).discover()
    assert found.broken
    assert "load its driver" in found.reason


def test_other_cards_of_the_same_maker_are_none(tmp_path: Path) -> None:
    tpu_tree(tmp_path, chips=0)
    assert TpuDevices(tmp_path).discover().reason == "no TPU on the PCI bus"


def test_a_chip_is_not_shared(tmp_path: Path) -> None:
    tpu_tree(tmp_path)
    plugin = TpuDevices(tmp_path)
    device = plugin.discover().devices[0]
    with pytest.raises(ImpossibleRequest, match=r"tpu\.device"):
        plugin.attach([share(device, 500)])
