"""Presets fit the nodes they are made for, and what is said beside one counts instead."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from madang.domain.devices import device_slot, is_device_slot
from madang.domain.presets import filled, first_presets

_SLOTS = st.sampled_from(["cpu", "mem", "fpga", "cuda.device", "cuda.shares", "rocm.device"])
_BUNDLES = st.dictionaries(_SLOTS, st.integers(1, 1 << 40), max_size=4)
GIB = 1 << 30


@given(_BUNDLES, _BUNDLES)
def test_what_is_given_counts_and_the_rest_is_the_presets(preset: dict[str, int], given_: dict[str, int]) -> None:
    found = filled(preset, given_)
    assert found.items() >= given_.items()
    for slot in found.keys() - given_.keys():
        assert found[slot] == preset[slot]
    for slot, amount in preset.items():
        if slot not in given_ and not is_device_slot(slot):
            assert found[slot] == amount


@given(_BUNDLES, _BUNDLES)
def test_devices_of_both_are_never_mixed(preset: dict[str, int], given_: dict[str, int]) -> None:
    devices = {slot for slot in filled(preset, given_) if is_device_slot(slot)}
    assert devices in ({slot for slot in one if is_device_slot(slot)} for one in (preset, given_))


@given(
    st.integers(0, 512_000),
    st.integers(0, 4096 * GIB),
    st.dictionaries(st.sampled_from(["cuda", "rocm", "tpu"]), st.integers(0, 16)),
)
def test_first_presets_fit_a_node_and_grow(cpu: int, mem: int, devices: dict[str, int]) -> None:
    found = first_presets(cpu, mem, devices)
    for bundle in found.values():
        assert 1000 <= bundle["cpu"] <= cpu
        assert GIB <= bundle["mem"] <= mem
    assert bool(found) == (cpu >= 1000 and mem >= GIB)
    sizes = [found[name] for name in ("small", "medium", "large") if name in found]
    for smaller, larger in itertools.pairwise(sizes):
        assert smaller != larger
        assert all(smaller[slot] <= larger[slot] for slot in smaller)
    offered = {kind for kind in devices for bundle in found.values() if device_slot(kind) in bundle}
    assert offered == {kind for kind, count in devices.items() if count and found}


def test_a_node_with_eight_gpus_and_a_laptop() -> None:
    assert first_presets(64_000, 512 * GIB, {"cuda": 8}) == {
        "small": {"cpu": 8000, "mem": 64 * GIB},
        "medium": {"cpu": 16_000, "mem": 128 * GIB},
        "large": {"cpu": 32_000, "mem": 256 * GIB},
        "gpu": {"cpu": 8000, "mem": 64 * GIB, "cuda.device": 1},
    }
    assert first_presets(2000, 3 * GIB, {}) == {"small": {"cpu": 1000, "mem": GIB}}
