"""What every kind of device promises: stable names, true links, and that a container is shown its own and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from madang.agent.devices.base import DevicePlugin
from madang.agent.devices.inventory import survey
from madang.domain.devices import WHOLE
from madang.domain.errors import ImpossibleRequest, Unavailable
from madang.schemas.agent import DEVICE_KIND, DeviceInfo, DeviceShare
from tests.contract.devices.conftest import Case


def whole(device: DeviceInfo) -> DeviceShare:
    return DeviceShare(kind=device.kind, index=device.index, id=device.id, milli=WHOLE)


def test_a_machine_without_such_hardware_is_ordinary(bare: DevicePlugin) -> None:
    found = bare.discover()
    assert found.devices == ()
    assert found.reason
    assert not found.broken


def test_devices_are_named_once_and_the_same_again(case: Case) -> None:
    found = case.plugin.discover()
    assert found.devices
    assert (found.reason, found.broken) == ("", False)
    assert [device.index for device in found.devices] == list(range(len(found.devices)))
    assert len({device.id for device in found.devices}) == len(found.devices)
    assert case.plugin.discover().devices == found.devices


def test_devices_say_what_they_are(case: Case) -> None:
    assert re.fullmatch(DEVICE_KIND, case.plugin.kind)
    for device in case.plugin.discover().devices:
        assert device.kind == case.plugin.kind
        assert 0 < len(device.model) <= 40
        assert device.mem >= 1 << 30
        assert device.numa >= -1
        assert DeviceInfo.model_validate_json(device.model_dump_json()) == device


def test_links_go_both_ways_and_never_to_itself(case: Case) -> None:
    devices = {device.index: device for device in case.plugin.discover().devices}
    for device in devices.values():
        assert len(set(device.links)) == len(device.links)
        assert device.index not in device.links
        for peer in device.links:
            assert device.index in devices[peer].links


def test_a_container_without_devices_is_shown_none(case: Case) -> None:
    case.plugin.discover()
    given = case.plugin.attach([])
    assert given.variables[case.variable] == ""
    assert (given.nodes, given.read_only, given.links) == ((), (), ())


def test_each_container_is_shown_its_own_device_only(case: Case) -> None:
    devices = case.plugin.discover().devices
    alone = {device.index: case.plugin.attach([whole(device)]) for device in devices}
    everything = case.plugin.attach([whole(device) for device in devices])
    shared = set.intersection(*({node.inside for node in given.nodes} for given in alone.values()))
    for device in devices:
        own = {node.inside for node in alone[device.index].nodes} - shared
        others = {node.inside for index, given in alone.items() if index != device.index for node in given.nodes}
        assert not own & (others - shared)
        assert len(devices) == 1 or bool(own) or device.mock
        assert alone[device.index].variables[case.variable]
    assert {node.inside for node in everything.nodes} == {
        node.inside for given in alone.values() for node in given.nodes
    }
    assert len(everything.variables[case.variable].split(",")) == len(devices)


def test_what_is_shown_exists_and_lies_where_it_belongs(case: Case) -> None:
    devices = case.plugin.discover().devices
    given = case.plugin.attach([whole(device) for device in devices])
    for node in given.nodes:
        assert Path(node.host).exists()
        assert node.inside.startswith("/dev/")
    for shown in given.read_only:
        assert Path(shown.host).exists()
        assert shown.inside.startswith("/sys/")
    insides = [Path(shown.inside) for shown in given.read_only]
    for link in given.links:
        assert any(Path(link.host).is_relative_to(inside) for inside in insides)
        assert not any(Path(link.inside).is_relative_to(inside) for inside in insides)


def test_a_device_that_is_not_there_is_refused_in_words(case: Case) -> None:
    device = case.plugin.discover().devices[0]
    for wrong in ({"id": "GPU-gone"}, {"index": 77}):
        with pytest.raises(Unavailable, match=f"has no device {case.plugin.kind}:"):
            case.plugin.attach([whole(device).model_copy(update=wrong)])


def test_a_part_is_given_of_devices_that_say_they_can_be_divided_and_of_no_others(case: Case) -> None:
    for device in case.plugin.discover().devices:
        part = whole(device).model_copy(update={"milli": 300})
        if device.divisible:
            assert case.plugin.attach([part]).variables[case.variable]
        else:
            with pytest.raises(ImpossibleRequest, match="ask for whole ones"):
                case.plugin.attach([part])


def test_only_pretended_devices_are_marked_so(case: Case) -> None:
    pretended = {device.mock for device in case.plugin.discover().devices}
    assert pretended == {type(case.plugin).__name__ == "MockDevices"}


def test_a_device_that_the_sandboxes_user_may_not_open_is_left_out_with_advice(case: Case) -> None:
    devices = case.plugin.discover().devices
    nodes = {device.index: case.plugin.attach([whole(device)]).nodes for device in devices}
    if not nodes[0] or case.root == Path("/"):
        pytest.skip("nothing here whose mode could be changed")
    only = set(nodes[0]) - {node for index, shown in nodes.items() if index for node in shown}
    closed = Path(only.pop().host)
    closed.chmod(0o660)
    found = survey(case.plugin, {"uid": 54321, "gid": 54321})
    assert found.devices == devices[1:]
    assert found.broken
    assert str(closed) in found.reason
    assert "mode 660" in found.reason
    assert "udev" in found.reason
